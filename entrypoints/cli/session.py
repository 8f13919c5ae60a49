import os
import re
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from typing import Any

import click

from adapters.grpc.operator_client import OperatorClient
from entrypoints.cli.container import CliContainer
from entrypoints.cli.settings import CliSettings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def api() -> AbstractContextManager[OperatorClient]:
    """The API that --api or API_ADDRESS names, for a `with` block."""
    settings = CliSettings.load()
    address = click.get_current_context().find_root().params["api"] or settings.api_address
    return closing(CliContainer(settings=settings, address=address).operator_client())


SERVER_ID = click.IntRange(-(2**63), 2**63 - 1)


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


class Failure(click.ClickException):
    """One sentence on stderr, and an exit code of sysexits."""

    def __init__(self, sentence: str, exit_code: int = os.EX_SOFTWARE) -> None:
        super().__init__(sentence)
        # click declares it for the class, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        click.echo(f"manmanv2: {self.message}", err=True)
