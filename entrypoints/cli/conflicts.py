from datetime import UTC, datetime

import click

from domain.conflict import Conflict, ConflictState, Resolution
from entrypoints.cli.options import Id, output_option, yes_option
from entrypoints.cli.session import api
from entrypoints.cli.views.conflicts import (
    conflict_details,
    conflict_json,
    describe_effect,
    print_conflicts,
)
from entrypoints.cli.views.output import as_json, confirm, print_lines

_conflict_id_argument = click.argument("conflict_id", type=Id("conflict", "conflicts list"))

# These take a server away from a machine.
_CONFIRMED_RESOLUTIONS = (Resolution.ADOPT, Resolution.EVICT)


@click.group()
def conflicts() -> None:
    """Resolve conflicts between two machines that claim one name."""


@conflicts.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in ConflictState]),
    default=ConflictState.OPEN.value,
    show_default=True,
    help="Only this state. A suspected conflict may just be a restart of the holder.",
)
@output_option
def list_conflicts(state: str, output: str) -> None:
    """List conflicts, by id."""
    with api() as client:
        listed = list(client.conflicts(state))
    if output == "json":
        click.echo(as_json([conflict_json(conflict) for conflict in listed]))
    else:
        print_conflicts(listed, datetime.now(UTC))


@conflicts.command()
@_conflict_id_argument
@output_option
@click.pass_context
def show(context: click.Context, conflict_id: int, output: str) -> None:
    """Compare both machines, and show how to resolve the conflict."""
    with api() as client:
        conflict = client.conflict(conflict_id)
    if output == "json":
        click.echo(as_json(conflict_json(conflict)))
    else:
        address = context.find_root().params["api"]
        command = f"manmanv2 --api {address}" if address else "manmanv2"
        print_lines(*conflict_details(conflict, command, datetime.now(UTC)))


@conflicts.command()
@_conflict_id_argument
@click.option(
    "--adopt", is_flag=True, help="The challenger takes over the server with all its data."
)
@click.option("--rename", metavar="NAME", help="The challenger becomes a new server named NAME.")
@click.option(
    "--evict",
    is_flag=True,
    help="The holder's server is deleted; the challenger gets the name as a new, empty server.",
)
@yes_option
@output_option
def resolve(
    conflict_id: int, adopt: bool, rename: str | None, evict: bool, yes: bool, output: str
) -> None:
    """Decide which of two machines gets a name.

    The holder has the name; the challenger tried to register under it. The decision takes effect
    when the challenger registers next and the holder sends its next heartbeat.
    """
    if adopt + evict + (rename is not None) != 1:
        raise click.UsageError("Give exactly one of --adopt, --rename NAME and --evict.")
    resolution = Resolution.ADOPT if adopt else Resolution.EVICT if evict else Resolution.RENAME
    for_programs = output == "json"
    with api() as client:
        if resolution in _CONFIRMED_RESOLUTIONS and not yes:
            conflict = client.conflict(conflict_id)
            if conflict.is_unresolved:
                _confirm(conflict, resolution, for_programs=for_programs)
        conflict = client.resolve_conflict(conflict_id, resolution, rename or "")
    if for_programs:
        click.echo(as_json(conflict_json(conflict)))
    else:
        effect = describe_effect(conflict, resolution, conflict.new_name)
        print_lines(f"conflict {conflict_id} is resolved: {effect}")


def _confirm(conflict: Conflict, resolution: Resolution, *, for_programs: bool) -> None:
    effect = describe_effect(conflict, resolution, "")
    print_lines(f"{effect[0].upper()}{effect[1:]}.", err=for_programs)
    confirm(f"Resolve conflict {conflict.conflict_id} in this way?", err=for_programs)
