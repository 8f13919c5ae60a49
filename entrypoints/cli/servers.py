from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from domain.server import Server
from entrypoints.cli.options import (
    Duration,
    ServerId,
    fleet_options,
    output_option,
    server_id_argument,
)
from entrypoints.cli.output import as_json, server_details, server_json, server_table
from entrypoints.cli.session import api
from entrypoints.cli.watch import watch

if TYPE_CHECKING:
    from adapters.grpc.operator_client import OperatorClient


@click.group()
def servers() -> None:
    """The machines of the fleet."""


servers.add_command(watch)


@servers.command("list")
@fleet_options
@output_option
def list_servers(
    environment: str, status: str | None, not_seen_for: timedelta | None, output: str
) -> None:
    """List servers, by id."""
    with api() as client:
        found = list(client.servers(environment, status or "", not_seen_for or timedelta(0)))
    if output == "json":
        click.echo(as_json([server_json(server) for server in found]))
    else:
        click.echo(server_table(found, datetime.now(UTC)))


@servers.command()
@server_id_argument
@output_option
def show(server_id: int, output: str) -> None:
    """Show one server and the names of its configuration."""
    with api() as client:
        server = client.server(server_id)
        configurations = client.configurations(server_id)
    if output == "json":
        names = [{"name": found.name, "revision": found.revision} for found in configurations]
        click.echo(as_json({**server_json(server), "configurations": names}))
    else:
        click.echo(server_details(server, configurations, datetime.now(UTC)))


@servers.command()
@click.argument("server_ids", type=ServerId(), nargs=-1)
@click.option("--not-seen-for", type=Duration(), help="Those silent for so long, as 24h.")
@click.option("--environment", default="", help="With --not-seen-for: only of this environment.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and stop.")
@output_option
def delete(
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Delete servers, by id or by age, with everything that hangs on them."""
    if bool(server_ids) == bool(not_seen_for):
        raise click.UsageError("Name servers by their ids, or say --not-seen-for.")
    if environment and server_ids:
        raise click.UsageError("--environment goes with --not-seen-for.")
    for_programs = output == "json"
    asks = not yes and not dry_run
    with api() as client:
        doomed = _doomed(client, server_ids, not_seen_for, environment)
        if not doomed:
            click.echo("[]" if for_programs else "No server was silent for so long.")
            return
        if asks or not for_programs:
            click.echo(server_table(doomed, datetime.now(UTC)), err=for_programs)
        if dry_run:
            would = as_json([_outcome(server, deleted=False) for server in doomed])
            click.echo(would if for_programs else f"{_count(doomed)} would be deleted.")
            return
        if asks:
            question = f"Delete {_count(doomed)} with all configuration?"
            click.confirm(question, abort=True, err=for_programs)
        outcomes = []
        try:
            for server in doomed:
                deleted = _delete(client, server, only_silent=bool(not_seen_for))
                outcomes.append(_outcome(server, deleted=deleted))
                if not for_programs:
                    named = f"server {server.server_id} ({server.name})"
                    said = f"deleted {named}" if deleted else f"kept {named}: it was seen again"
                    click.echo(said)
        finally:
            # What is gone is told when the API goes away in the middle of it, too.
            if for_programs:
                click.echo(as_json(outcomes))


def _delete(client: "OperatorClient", server: Server, *, only_silent: bool) -> bool:
    seen = client.server(server.server_id).presence.last_seen
    if only_silent and seen != server.presence.last_seen:
        return False
    client.delete(server.server_id)
    return True


def _outcome(server: Server, *, deleted: bool) -> dict[str, Any]:
    return {"server_id": server.server_id, "name": server.name, "deleted": deleted}


def _count(servers: list[Server]) -> str:
    return "1 server" if len(servers) == 1 else f"{len(servers)} servers"


def _doomed(
    client: "OperatorClient",
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
) -> list[Server]:
    if not_seen_for:
        return list(client.servers(environment, not_seen_for=not_seen_for))
    return [client.server(server_id) for server_id in dict.fromkeys(server_ids)]


@servers.command("set-default")
@server_id_argument
@output_option
def set_default(server_id: int, output: str) -> None:
    """Make a server the default one, in place of the one that was."""
    with api() as client:
        server = client.set_default(server_id)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        click.echo(f"server {server.server_id} ({server.name}) is the default")


@servers.command()
@server_id_argument
@output_option
def refresh(server_id: int, output: str) -> None:
    """Ask a host to report and to fetch its configuration now, not at its next heartbeat."""
    with api() as client:
        client.refresh(server_id)
    if output == "json":
        click.echo(as_json({"server_id": server_id}))
    else:
        click.echo(f"asked the host of server {server_id}")
