"""A command's connection to the API, and how its errors become exit codes."""

import os
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.settings import CliSettings
from entrypoints.cli.views.output import print_lines, printable
from entrypoints.failures import ConfigurationError

if TYPE_CHECKING:
    # gRPC takes longer to load than everything else; help and completion do without it.
    from adapters.grpc.client.operator_client import OperatorClient

# The one table from gRPC's status codes to exit codes of sysexits.h.
EXIT_CODES = {
    "NOT_FOUND": os.EX_NOINPUT,
    "ALREADY_EXISTS": os.EX_CANTCREAT,
    "INVALID_ARGUMENT": os.EX_DATAERR,
    "PERMISSION_DENIED": os.EX_NOPERM,
    "UNAUTHENTICATED": os.EX_NOPERM,
    "FAILED_PRECONDITION": os.EX_UNAVAILABLE,
    "UNAVAILABLE": os.EX_UNAVAILABLE,
    "DEADLINE_EXCEEDED": os.EX_UNAVAILABLE,
    "UNIMPLEMENTED": os.EX_UNAVAILABLE,
    "RESOURCE_EXHAUSTED": os.EX_TEMPFAIL,
}


class Failure(click.ClickException):
    """Ends the command with one sentence on stderr and an exit code of sysexits.h."""

    def __init__(self, sentence: str, exit_code: int = os.EX_SOFTWARE) -> None:
        super().__init__(sentence)
        # click declares it for the class, and reads it from the instance.
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        # Several wrong settings are reported together, one on each line.
        print_lines(*f"manmanv2: {self.message}".split("\n"), err=True)


def api(context: click.Context | None = None) -> AbstractContextManager["OperatorClient"]:
    """The API that --api or API_ADDRESS names, for a `with` block."""
    return closing(operator_client(context or click.get_current_context()))


def operator_client(context: click.Context) -> "OperatorClient":
    """The caller closes it. Raises ConfigurationError."""
    from adapters.grpc.tls.client_certificate import ClientCertificateUnusable
    from adapters.grpc.tls.trust import CaFileUnusable
    from entrypoints.cli.container import CliContainer

    try:
        return CliContainer(settings=settings_of(context)).operator_client()
    except CaFileUnusable as error:
        raise ConfigurationError.on("API_CA_CERT_PATH", error) from None
    except ClientCertificateUnusable as error:
        raise ConfigurationError.on("API_CLIENT_CERT_PATH", error) from None


def settings_of(context: click.Context) -> CliSettings:
    """Raises ConfigurationError."""
    api = context.find_root().params["api"]
    if not api:
        return CliSettings.load()
    try:
        return CliSettings.load({**os.environ, "API_ADDRESS": api})
    except ConfigurationError as error:
        raise error.with_name("API_ADDRESS", "--api") from None


def to_click_error(error: Exception) -> Failure | None:
    """The sentence and the exit code for an error that the API returned; None for any other."""
    from adapters.grpc.client.operator_client import OperatorCallFailed

    if not isinstance(error, OperatorCallFailed):
        return None
    return Failure(printable(str(error)), EXIT_CODES.get(error.code.name, os.EX_SOFTWARE))
