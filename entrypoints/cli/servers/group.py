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
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.servers import (
    print_servers,
    selector_json,
    server_details,
    server_json,
)


@click.group()
def servers() -> None:
    """List, watch and manage the servers of the fleet."""


for command in (watch, explain, label, approve, reject, ban, delete, restore, prune, merge):
    servers.add_command(command)


@servers.command("list")
@fleet_options
@click.option("--deleted", is_flag=True, help="List deleted servers that can be restored.")
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
    matching = FleetFilter(environment, status or "", not_seen_for or timedelta(0), selector)
    with api() as client:
        listed = list(matching.servers(client))
    if output == "json":
        click.echo(as_json([server_json(server) for server in listed]))
    else:
        print_servers(listed, datetime.now(UTC))


def _refuse_filters(context: click.Context) -> None:
    from_command_line = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if from_command_line - {"deleted", "output"}:
        raise click.UsageError("--deleted cannot be combined with a filter.")


@servers.command()
@server_id_argument
@output_option
def show(server_id: int, output: str) -> None:
    """Show a server and the names of the documents that it gets."""
    with api() as client:
        server = client.server(server_id)
        documents = client.effective_configurations(server_id)
    if output == "json":
        names = [
            {
                "name": document.name,
                "revision": document.revision,
                "selector": selector_json(document),
            }
            for document in documents
        ]
        click.echo(as_json({**server_json(server), "configurations": names}))
    else:
        print_lines(*server_details(server, documents, datetime.now(UTC)))


@servers.command("set-default")
@server_id_argument
@output_option
def set_default(server_id: int, output: str) -> None:
    """Make a server the default, instead of the current one."""
    with api() as client:
        server = client.set_default(server_id)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        print_lines(f"server {server.server_id} ({server.name}) is the default")


@servers.command()
@server_id_argument
@output_option
def refresh(server_id: int, output: str) -> None:
    """Ask a host to report and fetch its configuration now.

    Otherwise it does so at its next heartbeat.
    """
    with api() as client:
        client.refresh(server_id)
    if output == "json":
        click.echo(as_json({"server_id": server_id}))
    else:
        print_lines(f"asked the host of server {server_id}")
