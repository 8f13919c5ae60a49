from datetime import UTC, datetime, timedelta

import click
from click.core import ParameterSource

from entrypoints.cli.fleet_filter import FleetFilter
from entrypoints.cli.options import (
    fleet_options,
    output_option,
    server_id_argument,
)
from entrypoints.cli.servers.approval import approve, ban, reject
from entrypoints.cli.servers.history import explain, merge
from entrypoints.cli.servers.labels import label
from entrypoints.cli.servers.removal import delete, list_deleted, prune, restore
from entrypoints.cli.servers.watch import watch
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import (
    as_json,
    selector_json,
    server_details,
    server_json,
    server_table,
)


@click.group()
def servers() -> None:
    """The machines of the fleet."""


for command in (watch, explain, label, approve, reject, ban, delete, restore, prune, merge):
    servers.add_command(command)


@servers.command("list")
@fleet_options
@click.option("--deleted", is_flag=True, help="Those that were deleted and can be restored.")
@output_option
@click.pass_context
def list_servers(
    context: click.Context,
    environment: str,
    status: str | None,
    not_seen_for: timedelta | None,
    selector: str,
    deleted: bool,
    output: str,
) -> None:
    """List servers, by id."""
    if deleted:
        _refuse_filters(context)
        list_deleted(output)
        return
    wanted = FleetFilter(environment, status or "", not_seen_for or timedelta(0), selector)
    with api() as client:
        found = list(wanted.servers(client))
    if output == "json":
        click.echo(as_json([server_json(server) for server in found]))
    else:
        click.echo(server_table(found, datetime.now(UTC)))


def _refuse_filters(context: click.Context) -> None:
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if given - {"deleted", "output"}:
        raise click.UsageError("--deleted lists all that can be restored, without any filter.")


@servers.command()
@server_id_argument
@output_option
def show(server_id: int, output: str) -> None:
    """Show one server and the names of its configuration."""
    with api() as client:
        server = client.server(server_id)
        configurations = client.effective_configurations(server_id)
    if output == "json":
        names = [
            {"name": found.name, "revision": found.revision, "selector": selector_json(found)}
            for found in configurations
        ]
        click.echo(as_json({**server_json(server), "configurations": names}))
    else:
        click.echo(server_details(server, configurations, datetime.now(UTC)))


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
