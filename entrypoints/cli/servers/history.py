"""What happened to a server, and to make one of two."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import click

from domain.history import MAX_HISTORY_ENTRIES, HistoryEntry
from domain.machine_evidence import kinds_in_words
from domain.server import Server
from entrypoints.cli.options import ServerId, output_option, server_id_argument
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import as_json, iso, server_json, server_table, table


@click.command()
@server_id_argument
@click.option(
    "--history",
    "shown",
    type=click.IntRange(0, MAX_HISTORY_ENTRIES),
    default=20,
    show_default=True,
    metavar="N",
    help=f"How much of the end of its history to show; {MAX_HISTORY_ENTRIES} events are kept.",
)
@output_option
def explain(server_id: int, shown: int, output: str) -> None:
    """Tell why a server is what it is, and what happened to it.

    Also of one that was deleted and can be restored.
    """
    with api() as client:
        explained = client.explain(server_id)
    last = explained.history[-shown:] if shown else []
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
    click.echo("\n".join(explained.sentences))
    if last:
        click.echo(f"\n{_history_table(last)}")
    earlier = len(explained.history) - len(last)
    if earlier and last:
        click.echo(f"\n{earlier} earlier: --history {len(explained.history)} shows all.")


@click.command()
@click.argument("old", type=ServerId())
@click.argument("new", type=ServerId())
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def merge(old: int, new: int, yes: bool, output: str) -> None:
    """Give the server NEW what hung on the server OLD, and delete OLD.

    For a machine that got a new name, and with it a new server. Documents, operators' labels, the
    history and the mark of the default server move, where NEW has nothing of the same name.
    """
    for_programs = output == "json"
    with api() as client:
        if not yes:
            _ask(client.server(old), client.server(new), for_programs=for_programs)
        server = client.merge(old, new)
    if for_programs:
        click.echo(as_json(server_json(server)))
    else:
        click.echo(f"merged server {old} into server {server.server_id} ({server.name})")


def _ask(old: Server, new: Server, *, for_programs: bool) -> None:
    click.echo(server_table([old, new], datetime.now(UTC)), err=for_programs)
    if not old.machine or old.machine != new.machine:
        click.echo("They are not known to be on one machine.", err=for_programs)
    question = (
        f"Merge server {old.server_id} ({old.name}) into server {new.server_id} ({new.name}), and"
        f" delete server {old.server_id}?"
    )
    click.confirm(question, abort=True, err=for_programs)


def _history_table(entries: Iterable[HistoryEntry]) -> str:
    rows = [
        (iso(entry.at), entry.kind.value, entry.cause or "-", _evidence(entry)) for entry in entries
    ]
    return table(("TIME", "WHAT", "CAUSE", "EVIDENCE"), rows)


def _evidence(entry: HistoryEntry) -> str:
    parts = ((entry.agreeing, "the same"), (entry.differing, "another"))
    return "; ".join(f"{what}: {kinds_in_words(kinds)}" for kinds, what in parts if kinds) or "-"


def _entry_json(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "at": iso(entry.at),
        "kind": entry.kind.value,
        "cause": entry.cause,
        "agreeing": list(entry.agreeing),
        "differing": list(entry.differing),
    }
