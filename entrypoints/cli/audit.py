from typing import Any

import click

from application.ports.would_rejects import WouldReject
from entrypoints.cli.options import output_option
from entrypoints.cli.output import as_json, iso, table
from entrypoints.cli.session import api


@click.group()
def audit() -> None:
    """What the API notes of its rules."""


@audit.command("would-reject")
@output_option
def would_reject(output: str) -> None:
    """List what the switches that only warn would have refused, oldest first.

    Look here before you set a switch of the API's ENFORCEMENT from warn to enforce.
    """
    with api() as client:
        found = list(client.would_rejects())
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


def _as_object(entry: WouldReject) -> dict[str, Any]:
    return {
        "switch": entry.switch.value,
        "server_id": entry.server_id or None,
        "name": entry.name,
        "reason": entry.reason,
        "count": entry.count,
        "first_at": iso(entry.first_at),
        "last_at": iso(entry.last_at),
    }
