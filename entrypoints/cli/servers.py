from datetime import UTC, datetime, timedelta

import click

from adapters.grpc.operator_client import OperatorClient
from domain.server import Server
from entrypoints.cli.output import as_json, server_details, server_json, server_table
from entrypoints.cli.session import SERVER_ID, Duration, api

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True
)


@click.group()
def servers() -> None:
    """The machines of the fleet."""


@servers.command("list")
@click.option("--environment", default="", help="Only of this environment.")
@click.option("--status", type=click.Choice(["online", "offline"]), default=None)
@click.option("--not-seen-for", type=Duration(), help="Only those silent for so long, as 24h.")
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
@click.argument("server_id", type=SERVER_ID)
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
@click.argument("server_ids", type=SERVER_ID, nargs=-1)
@click.option("--not-seen-for", type=Duration(), help="Those silent for so long, as 24h.")
@click.option("--environment", default="", help="With --not-seen-for: only of this environment.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and stop.")
def delete(
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
    yes: bool,
    dry_run: bool,
) -> None:
    """Delete servers, by id or by age, with everything that hangs on them."""
    if bool(server_ids) == bool(not_seen_for):
        raise click.UsageError("Name servers by their ids, or say --not-seen-for.")
    if environment and server_ids:
        raise click.UsageError("--environment goes with --not-seen-for.")
    with api() as client:
        doomed = _doomed(client, server_ids, not_seen_for, environment)
        if not doomed:
            click.echo("No server was silent for so long.")
            return
        click.echo(server_table(doomed, datetime.now(UTC)))
        if dry_run:
            click.echo(f"{_count(doomed)} would be deleted.")
            return
        if not yes:
            question = f"Delete {_count(doomed)} with all configuration?"
            click.confirm(question, abort=True)
        for server in doomed:
            seen = client.server(server.server_id).presence.last_seen
            if not_seen_for and seen != server.presence.last_seen:
                click.echo(f"kept server {server.server_id} ({server.name}): it was seen again")
                continue
            client.delete(server.server_id)
            click.echo(f"deleted server {server.server_id} ({server.name})")


def _count(servers: list[Server]) -> str:
    return "1 server" if len(servers) == 1 else f"{len(servers)} servers"


def _doomed(
    client: OperatorClient,
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
) -> list[Server]:
    if not_seen_for:
        return list(client.servers(environment, not_seen_for=not_seen_for))
    return [client.server(server_id) for server_id in dict.fromkeys(server_ids)]


@servers.command("set-default")
@click.argument("server_id", type=SERVER_ID)
def set_default(server_id: int) -> None:
    """Make a server the default one, in place of the one that was."""
    with api() as client:
        server = client.set_default(server_id)
    click.echo(f"server {server.server_id} ({server.name}) is the default")


@servers.command()
@click.argument("server_id", type=SERVER_ID)
def refresh(server_id: int) -> None:
    """Ask a host to report and to fetch its configuration now, not at its next heartbeat."""
    with api() as client:
        client.refresh(server_id)
    click.echo(f"asked the host of server {server_id}")
