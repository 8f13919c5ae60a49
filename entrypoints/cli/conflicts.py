from datetime import UTC, datetime

import click

from domain.conflict import Conflict, ConflictState, Resolution
from entrypoints.cli.options import output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.conflicts import (
    conflict_details,
    conflict_json,
    conflict_table,
    describe_effect,
)
from entrypoints.cli.views.tables import as_json

_conflict_id_argument = click.argument("conflict_id", type=click.IntRange(-(2**63), 2**63 - 1))

# What takes something away from somebody.
_ASKED_ABOUT = (Resolution.ADOPT, Resolution.EVICT)


@click.group()
def conflicts() -> None:
    """Two machines that claim one name, and who gets it."""


@conflicts.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in ConflictState]),
    default=ConflictState.OPEN.value,
    show_default=True,
    help="Only in this state; one that is suspected may be a restart of the holder.",
)
@output_option
def list_conflicts(state: str, output: str) -> None:
    """List conflicts, by id."""
    with api() as client:
        found = list(client.conflicts(state))
    if output == "json":
        click.echo(as_json([conflict_json(conflict) for conflict in found]))
    else:
        click.echo(conflict_table(found, datetime.now(UTC)))


@conflicts.command()
@_conflict_id_argument
@output_option
@click.pass_context
def show(context: click.Context, conflict_id: int, output: str) -> None:
    """Show both sides of a conflict beside each other, and how to resolve it."""
    with api() as client:
        conflict = client.conflict(conflict_id)
    if output == "json":
        click.echo(as_json(conflict_json(conflict)))
    else:
        address = context.find_root().params["api"]
        command = f"manmanv2 --api {address}" if address else "manmanv2"
        click.echo(conflict_details(conflict, command, datetime.now(UTC)))


@conflicts.command()
@_conflict_id_argument
@click.option("--adopt", is_flag=True, help="Give the server to the challenger.")
@click.option("--rename", metavar="NAME", help="Let the challenger join under another name.")
@click.option(
    "--evict", is_flag=True, help="Delete the holder's server; the challenger joins anew."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def resolve(
    conflict_id: int, adopt: bool, rename: str | None, evict: bool, yes: bool, output: str
) -> None:
    """Decide who gets a name. The hosts are told at their next claims and heartbeats.

    With --adopt the challenger gets the server with all that hangs on it. With --evict it joins
    as a new server, with nothing of it. With --rename both have a server.
    """
    if adopt + evict + (rename is not None) != 1:
        raise click.UsageError("Say one of --adopt, --rename NAME and --evict.")
    resolution = Resolution.ADOPT if adopt else Resolution.EVICT if evict else Resolution.RENAME
    for_programs = output == "json"
    with api() as client:
        if resolution in _ASKED_ABOUT and not yes:
            conflict = client.conflict(conflict_id)
            if conflict.is_unresolved:
                _ask(conflict, resolution, for_programs=for_programs)
        conflict = client.resolve_conflict(conflict_id, resolution, rename or "")
    if for_programs:
        click.echo(as_json(conflict_json(conflict)))
    else:
        said = describe_effect(conflict, resolution, conflict.new_name)
        click.echo(f"conflict {conflict_id} is resolved: {said}")


def _ask(conflict: Conflict, resolution: Resolution, *, for_programs: bool) -> None:
    said = describe_effect(conflict, resolution, "")
    click.echo(f"{said[0].upper()}{said[1:]}.", err=for_programs)
    question = f"Resolve conflict {conflict.conflict_id} in this way?"
    click.confirm(question, abort=True, err=for_programs)
