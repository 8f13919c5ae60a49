"""What several commands take."""

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

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPLETION_SECONDS = 1.0
_OF_SELECTOR = f"{__name__}.of_selector"


class ServerId(click.IntRange):
    """The id of a server; a shell may complete it by what the API lists."""

    def __init__(self) -> None:
        super().__init__(-(2**63), 2**63 - 1)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        # Somebody is typing: there is no time to wait for an API, and no place for a sentence.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(os.EX_UNAVAILABLE))
        signal.setitimer(signal.ITIMER_REAL, _COMPLETION_SECONDS)
        try:
            with api(ctx) as client:
                return [
                    CompletionItem(str(server.server_id), help=server.name)
                    for server in self.listed(client)
                    if str(server.server_id).startswith(incomplete)
                ]
        except Exception:  # noqa: BLE001 - whatever it is, the shell completes nothing then
            return []

    def listed(self, client: "OperatorClient") -> Iterable[Server]:
        """Those whose ids are completed."""
        return client.servers()


class Duration(click.ParamType[timedelta]):
    """As 90s, 30m, 24h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if not match or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration: say 90s, 30m, 24h or 7d", param, ctx)
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


class OfServerOrSelector(click.Command):
    """A command whose arguments begin with the id of a server, unless -l names a selector."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_OF_SELECTOR] = bool(given.get("selector"))
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        parameters = super().get_params(ctx)
        if not ctx.meta.get(_OF_SELECTOR):
            return parameters
        return [parameter for parameter in parameters if parameter.name != "server_id"]


server_id_argument = click.argument("server_id", type=ServerId())

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print: a text for people, or JSON for programs.",
)


def selector_option(help_text: str) -> Callable[[Function], Function]:
    """`help_text` goes on with an example."""
    return click.option(
        "-l", "--selector", default="", metavar="TEXT", help=f"{help_text}, as {SELECTOR_EXAMPLE}."
    )


def fleet_options(function: Function) -> Function:
    """Which servers of the fleet."""
    for option in (
        click.option(
            "--not-seen-for", type=Duration(), help="Only those silent for so long, as 24h."
        ),
        click.option(
            "--status", type=click.Choice(list(map(str, STATUSES))), help="Only with this status."
        ),
        selector_option("Only those with these labels"),
        click.option("--environment", default="", help="Only of this environment."),
    ):
        function = option(function)
    return function
