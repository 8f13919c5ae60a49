"""What happened to a server, and the merge of two servers into one."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from domain.history import MAX_HISTORY_ENTRIES, HistoryEntry
from domain.machine_evidence import kinds_in_words
from domain.server import Server
from entrypoints.cli.options import ServerId, output_option, server_id_argument, yes_option
from entrypoints.cli.session import Failure, api
from entrypoints.cli.views.output import as_json, confirm, print_lines
from entrypoints.cli.views.servers import print_servers, server_json
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import iso


@click.command()
@server_id_argument
@click.option(
    "--history",
    "count",
    type=click.IntRange(0, MAX_HISTORY_ENTRIES),
    default=20,
    show_default=True,
    metavar="N",
    help=f"Show the last N events. The API keeps {MAX_HISTORY_ENTRIES} for each server.",
)
@output_option
def explain(server_id: int, count: int, output: str) -> None:
    """Explain the state of a server, and show what happened to it.

    Also works for a deleted server that can be restored.
    """
    with api() as client:
        explained = client.explain(server_id)
    last = explained.history[-count:] if count else []
    if output == "json":
        entries = [_entry_json(entry) for entry in last]
        click.echo(
            as_json(
                {
                    "server_id": server_id,
                    "sentences": list(explained.sentences),
                    "history": entries,
                }
            )
        )
        return
    print_lines(*explained.sentences)
    if last:
        print_lines("")
        _print_history(last)
    earlier = len(explained.history) - len(last)
    if earlier and last:
        print_lines("", f"{earlier} earlier: --history {len(explained.history)} shows all.")


@click.command()
@click.argument("old", type=ServerId())
@click.argument("new", type=ServerId())
@yes_option
@output_option
def merge(old: int, new: int, yes: bool, output: str) -> None:
    """Merge the server OLD into the server NEW, and delete OLD.

    Use it when a machine got a new name, and so became a new server. Documents, operators' labels,
    the history and the default mark move, unless NEW already has one of the same name.
    """
    for_programs = output == "json"
    if old == new:
        raise Failure("OLD and NEW are the same server", os.EX_DATAERR)
    with api() as client:
        if not yes:
            _confirm(client.server(old), client.server(new), for_programs=for_programs)
        server = client.merge(old, new)
    if for_programs:
        click.echo(as_json(server_json(server)))
    else:
        print_lines(f"merged server {old} into server {server.server_id} ({server.name})")


def _confirm(old: Server, new: Server, *, for_programs: bool) -> None:
    print_servers([old, new], datetime.now(UTC), err=for_programs)
    if not old.machine or old.machine != new.machine:
        print_lines("They are not known to be on one machine.", err=for_programs)
    question = (
        f"Merge server {old.server_id} ({old.name}) into server {new.server_id} ({new.name}), and"
        f" delete server {old.server_id}?"
    )
    confirm(question, err=for_programs)


def _print_history(entries: Iterable[HistoryEntry]) -> None:
    columns = (
        Column("TIME"),
        Column("WHAT"),
        Column("CAUSE", Fit.WRAP),
        Column("EVIDENCE", Fit.WRAP),
    )
    rows = [
        (iso(entry.at), entry.kind.value, entry.cause or "-", _evidence(entry)) for entry in entries
    ]
    print_table(columns, rows)


def _evidence(entry: HistoryEntry) -> str:
    parts = ((entry.agreeing, "the same"), (entry.differing, "different"))
    return (
        "; ".join(f"{verdict}: {kinds_in_words(kinds)}" for kinds, verdict in parts if kinds) or "-"
    )


def _entry_json(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": iso(entry.at),
        "kind": entry.kind.value,
        "cause": entry.cause,
        "agreeing": list(entry.agreeing),
        "differing": list(entry.differing),
    }
