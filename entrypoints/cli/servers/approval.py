"""Who is let into the fleet."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from domain.server import Server
from entrypoints.cli.options import ServerId, output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import as_json, server_json

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

# As objects for programs, and as lines for people.
_Outcome = tuple[list[dict[str, Any]], list[str]]

_server_ids_argument = click.argument("server_ids", type=ServerId(), nargs=-1, required=True)
_reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="Why; the host is told it, too."
)


@click.command()
@_server_ids_argument
@output_option
def approve(server_ids: tuple[int, ...], output: str) -> None:
    """Let pending servers in, or rejected and banned ones again.

    It lifts the ban over the machine of a server that was banned, also when the server is gone.
    """

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server = client.approve(server_id)
        if server is None:
            said = f"lifted the ban over the machine of server {server_id}, which is gone"
            return [{"server_id": server_id}], [said]
        return [server_json(server)], [f"approved {_named(server)}"]

    _decide(server_ids, output, decide)


@click.command()
@_server_ids_argument
@_reason_option
@output_option
def reject(server_ids: tuple[int, ...], reason: str, output: str) -> None:
    """Refuse servers under their names, until they are approved."""

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server = client.reject(server_id, reason)
        return [server_json(server)], [f"rejected {_named(server)}"]

    _decide(server_ids, output, decide)


@click.command()
@_server_ids_argument
@_reason_option
@output_option
def ban(server_ids: tuple[int, ...], reason: str, output: str) -> None:
    """Refuse the machines of servers, whatever names they register under, until approved.

    All other servers of such a machine are banned with it.
    """

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server, *mates = client.ban(server_id, reason)
        machine = (
            "and its machine"
            if server.machine
            else "by its name alone: its host sent no evidence of its machine"
        )
        said = [f"banned {_named(server)} {machine}"]
        said += [f"banned {_named(mate)}, which is on the same machine" for mate in mates]
        return [server_json(one) for one in (server, *mates)], said

    _decide(server_ids, output, decide)


def _decide(
    server_ids: Iterable[int],
    output: str,
    decide: Callable[["OperatorClient", int], _Outcome],
) -> None:
    outcomes: dict[int, dict[str, Any]] = {}
    with api() as client:
        try:
            for server_id in dict.fromkeys(server_ids):
                objects, lines = decide(client, server_id)
                outcomes |= {one["server_id"]: one for one in objects}
                if output == "text":
                    click.echo("\n".join(lines))
        finally:
            # What is decided is told when the API refuses a later one, too.
            if output == "json":
                click.echo(as_json(list(outcomes.values())))


def _named(server: Server) -> str:
    return f"server {server.server_id} ({server.name})"
