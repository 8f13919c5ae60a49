from collections.abc import Sequence
from typing import Any

import click

from application.ports.store.access.audit import AuditEntry
from application.ports.store.dry_run_refusals import DryRunRefusal
from entrypoints.cli.options import ServerId, output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import iso


@click.group()
def audit() -> None:
    """Show what operators did, and what ENFORCEMENT would refuse."""


@audit.command("list")
@click.option(
    "--server", "server_id", type=ServerId(), metavar="ID", help="Only calls about this server."
)
@click.option("--actor", default="", metavar="NAME", help="Only calls of this operator.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Show only this many of the newest entries.",
)
@output_option
def list_audit(server_id: int | None, actor: str, limit: int, output: str) -> None:
    """List what operators changed or tried to change, newest first.

    Each call is recorded before it is carried out, and again with the reason if it is refused or
    fails. Read-only calls are not recorded. `manmanv2 servers explain` shows what hosts did.
    """
    with api() as client:
        entries = list(client.audit(server_id or 0, actor, limit))
    if output == "json":
        click.echo(as_json([_entry_json(entry) for entry in entries]))
    else:
        _print_entries(entries)


def _print_entries(entries: Sequence[AuditEntry]) -> None:
    columns = (
        Column("TIME"),
        Column("WHO", Fit.CUT),
        Column("CREDENTIAL", Fit.LEAVE_OUT),
        Column("FROM", Fit.LEAVE_OUT),
        Column("WHAT"),
        Column("SERVER", Fit.LEAVE_OUT),
        Column("TARGET", Fit.LEAVE_OUT),
        Column("OUTCOME", Fit.WRAP),
    )
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
    print_table(columns, rows)


def _entry_json(entry: AuditEntry) -> dict[str, Any]:
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


@audit.command("dry-run")
@output_option
def dry_run(output: str) -> None:
    """List calls that ENFORCEMENT let through with a warning.

    The oldest comes first. Check this list before you change a switch of the API's ENFORCEMENT from
    warn to enforce.
    """
    _list_dry_run_refusals(output)


@audit.command("would-reject", hidden=True)
@output_option
def would_reject(output: str) -> None:
    """The old name of `audit dry-run`."""
    print_lines(
        "manmanv2: `audit would-reject` is now `audit dry-run`; the old name will be removed",
        err=True,
    )
    _list_dry_run_refusals(output)


def _list_dry_run_refusals(output: str) -> None:
    with api() as client:
        refusals = list(client.dry_run_refusals())
    if output == "json":
        click.echo(as_json([_refusal_json(refusal) for refusal in refusals]))
        return
    columns = (
        Column("SWITCH"),
        Column("SERVER"),
        Column("NAME", Fit.CUT),
        Column("COUNT"),
        Column("FIRST", Fit.LEAVE_OUT),
        Column("LAST", Fit.LEAVE_OUT),
        Column("REASON", Fit.WRAP),
    )
    rows = [
        (
            refusal.switch.value,
            str(refusal.server_id or "-"),
            refusal.name,
            str(refusal.count),
            iso(refusal.first_at),
            iso(refusal.last_at),
            refusal.reason,
        )
        for refusal in refusals
    ]
    print_table(columns, rows)


def _refusal_json(refusal: DryRunRefusal) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    return {
        "switch": refusal.switch.value,
        "server_id": refusal.server_id or None,
        "name": refusal.name,
        "reason": refusal.reason,
        "count": refusal.count,
        "first_at": iso(refusal.first_at),
        "last_at": iso(refusal.last_at),
    }
