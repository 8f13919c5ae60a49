from collections.abc import Iterable
from typing import Any

import click

from application.ports.store.access.audit import AuditEntry
from application.ports.store.dry_run_refusals import DryRunRefusal
from entrypoints.cli.options import ServerId, output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import as_json, iso, table


@click.group()
def audit() -> None:
    """What operators did, and what the API notes of its rules."""


@audit.command("list")
@click.option("--server", "server_id", type=ServerId(), help="Only about this server.")
@click.option("--actor", default="", metavar="NAME", help="Only by this operator.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="At most so many, the last ones.",
)
@output_option
def list_audit(server_id: int | None, actor: str, limit: int, output: str) -> None:
    """List what operators changed or tried to, newest first.

    Each call is noted before it is made, and once more with the reason when it was refused or
    failed. What looking does is not noted, and what hosts do is in `manmanv2 servers explain`.
    """
    with api() as client:
        found = list(client.audit(server_id or 0, actor, limit))
    if output == "json":
        click.echo(as_json([_entry_as_object(entry) for entry in found]))
    else:
        click.echo(_entry_table(found))


def _entry_table(entries: Iterable[AuditEntry]) -> str:
    columns = ("TIME", "WHO", "CREDENTIAL", "FROM", "WHAT", "SERVER", "TARGET", "OUTCOME")
    rows = [
        (
            iso(entry.at),
            entry.actor,
            entry.credential_id or "-",
            entry.address or "-",
            entry.action,
            str(entry.server_id or "-"),
            entry.target or "-",
            entry.outcome or "attempted",
        )
        for entry in entries
    ]
    return table(columns, rows)


def _entry_as_object(entry: AuditEntry) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    return {
        "entry_id": entry.entry_id,
        "at": iso(entry.at),
        "actor": entry.actor,
        "credential_id": entry.credential_id or None,
        "address": entry.address or None,
        "action": entry.action,
        "server_id": entry.server_id or None,
        "target": entry.target or None,
        "outcome": entry.outcome or None,
    }


@audit.command("would-reject")
@output_option
def would_reject(output: str) -> None:
    """List what the switches that only warn would have refused, oldest first.

    Look here before you set a switch of the API's ENFORCEMENT from warn to enforce.
    """
    with api() as client:
        found = list(client.dry_run_refusals())
    if output == "json":
        click.echo(as_json([_as_object(entry) for entry in found]))
        return
    columns = ("SWITCH", "SERVER", "NAME", "COUNT", "FIRST", "LAST", "REASON")
    rows = [
        (
            entry.switch.value,
            str(entry.server_id or "-"),
            entry.name,
            str(entry.count),
            iso(entry.first_at),
            iso(entry.last_at),
            entry.reason,
        )
        for entry in found
    ]
    click.echo(table(columns, rows))


def _as_object(entry: DryRunRefusal) -> dict[str, Any]:
    return {
        "switch": entry.switch.value,
        "server_id": entry.server_id or None,
        "name": entry.name,
        "reason": entry.reason,
        "count": entry.count,
        "first_at": iso(entry.first_at),
        "last_at": iso(entry.last_at),
    }
