"""Which servers may be part of the fleet."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from domain.server import Server
from entrypoints.cli.options import output_option, server_ids_argument
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.servers import server_json

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

# As objects for programs, and as lines for people.
_Outcome = tuple[list[dict[str, Any]], list[str]]

_reason_option = click.option(
    "--reason", default="", metavar="TEXT", help="The reason, which the host logs too."
)


@click.command()
@server_ids_argument
@output_option
def approve(server_ids: tuple[int, ...], output: str) -> None:
    """Approve servers that are pending, rejected or banned.

    Approving a banned server also lifts the ban on its machine, even if the server is deleted.
    """

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server = client.approve(server_id)
        if server is None:
            line = f"lifted the ban on the machine of server {server_id}, which is deleted"
            return [{"server_id": server_id}], [line]
        return [server_json(server)], [f"approved {_named(server)}"]

    _decide(server_ids, output, decide)


@click.command()
@server_ids_argument
@_reason_option
@output_option
def reject(server_ids: tuple[int, ...], reason: str, output: str) -> None:
    """Refuse servers under their names until they are approved."""

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server = client.reject(server_id, reason)
        return [server_json(server)], [f"rejected {_named(server)}"]

    _decide(server_ids, output, decide)


@click.command()
@server_ids_argument
@_reason_option
@output_option
def ban(server_ids: tuple[int, ...], reason: str, output: str) -> None:
    """Ban servers and their machines until they are approved.

    A banned machine is refused under any name. All other servers on it are banned too.
    """

    def decide(client: "OperatorClient", server_id: int) -> _Outcome:
        server, *mates = client.ban(server_id, reason)
        machine = (
            "and its machine"
            if server.machine
            else "by its name only, because its host sent no evidence of its machine"
        )
        lines = [f"banned {_named(server)} {machine}"]
        lines += [f"banned {_named(mate)}, which is on the same machine" for mate in mates]
        return [server_json(one) for one in (server, *mates)], lines

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
                    print_lines(*lines)
        finally:
            # Decisions already made are reported even if the API refuses a later one.
            if output == "json":
                click.echo(as_json(list(outcomes.values())))


def _named(server: Server) -> str:
    return f"server {server.server_id} ({server.name})"
