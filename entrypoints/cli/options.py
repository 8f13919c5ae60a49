"""What several commands take."""

import os
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from entrypoints.cli.session import api

Function = TypeVar("Function", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COMPLETION_SECONDS = 1.0


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
                    for server in client.servers()
                    if str(server.server_id).startswith(incomplete)
                ]
        except Exception:  # noqa: BLE001 - whatever it is, the shell completes nothing then
            return []


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


server_id_argument = click.argument("server_id", type=ServerId())

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print: a text for people, or JSON for programs.",
)


def fleet_options(function: Function) -> Function:
    """Which servers of the fleet."""
    for option in (
        click.option(
            "--not-seen-for", type=Duration(), help="Only those silent for so long, as 24h."
        ),
        click.option(
            "--status", type=click.Choice(["online", "offline"]), help="Only with this status."
        ),
        click.option("--environment", default="", help="Only of this environment."),
    ):
        function = option(function)
    return function
