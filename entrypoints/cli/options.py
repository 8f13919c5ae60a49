"""Options and types of arguments that several commands take."""

import os
import re
import signal
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from domain.labels import SELECTOR_EXAMPLE
from domain.server import Server
from entrypoints.cli.fleet_filter import STATUSES
from entrypoints.cli.session import api
from entrypoints.cli.views.output import printable

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPLETION_TIMEOUT_SECONDS = 1.0
_HAS_SELECTOR = f"{__name__}.has_selector"
_MIN_ID, _MAX_ID = -(2**63), 2**63 - 1


class Id(click.ParamType[int]):
    """A number of 64 bits by which the API knows something."""

    name = "id"

    def __init__(self, noun: str, list_command: str) -> None:
        """`list_command` shows which ids there are."""
        self._noun = noun
        self._list_command = list_command

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if not re.fullmatch(r"-?[0-9]{1,19}", value) or not _MIN_ID <= int(value) <= _MAX_ID:
            self.fail(
                f"No {self._noun} has the id {value!r}; see `manmanv2 {self._list_command}`.",
                param,
                ctx,
            )
        return int(value)


class ServerId(Id):
    """A server's id; a shell may complete it with the ids that the API lists."""

    def __init__(self, list_command: str = "servers list") -> None:
        super().__init__("server", list_command)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        # Somebody is typing: there is no time to wait for an API, and no place for an error.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(os.EX_UNAVAILABLE))
        signal.setitimer(signal.ITIMER_REAL, _COMPLETION_TIMEOUT_SECONDS)
        try:
            with api(ctx) as client:
                return [
                    CompletionItem(str(server.server_id), help=printable(server.name))
                    for server in self.servers_to_complete(client)
                    if str(server.server_id).startswith(incomplete)
                ]
        except Exception:  # noqa: BLE001 - whatever it is, the shell completes nothing then
            return []

    def servers_to_complete(self, client: "OperatorClient") -> Iterable[Server]:
        return client.servers()


class Duration(click.ParamType[timedelta]):
    """A whole number and a unit, for example 90s, 30m, 24h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if not match or int(match[1]) == 0:
            self.fail(
                f"{value!r} is not a duration; write for example 90s, 30m, 24h or 7d", param, ctx
            )
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


class ServerOrSelectorCommand(click.Command):
    """A command whose first argument is a server's id, unless -l gives a selector."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options, _, _ = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_HAS_SELECTOR] = bool(options.get("selector"))
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        parameters = super().get_params(ctx)
        if not ctx.meta.get(_HAS_SELECTOR):
            return parameters
        return [parameter for parameter in parameters if parameter.name != "server_id"]


server_id_argument = click.argument("server_id", type=ServerId())
server_ids_argument = click.argument(
    "server_ids", metavar="SERVER_ID...", type=ServerId(), nargs=-1, required=True
)

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Print text for people, or JSON for programs.",
)

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def selector_option(help_text: str) -> Callable[[Function], Function]:
    """`help_text` is followed by an example."""
    return click.option(
        "-l",
        "--selector",
        default="",
        metavar="SELECTOR",
        help=f"{help_text}, for example '{SELECTOR_EXAMPLE}'.",
    )


def fleet_options(function: Function) -> Function:
    """The options that choose servers of the fleet."""
    for option in (
        click.option(
            "--not-seen-for",
            type=Duration(),
            help="Only servers not heard from for this long, for example 24h.",
        ),
        click.option(
            "--status", type=click.Choice(list(map(str, STATUSES))), help="Only this status."
        ),
        selector_option("Only servers whose labels match"),
        click.option("--environment", default="", metavar="NAME", help="Only this environment."),
    ):
        function = option(function)
    return function
