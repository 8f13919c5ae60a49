import os
import sys

import click
import grpc

from adapters.grpc.operator_client import OperatorCallFailed
from domain.errors import InvalidField
from entrypoints.cli.configs import configs
from entrypoints.cli.db import db
from entrypoints.cli.demo import demo
from entrypoints.cli.servers import servers
from entrypoints.cli.session import Failure
from entrypoints.cli.settings import CliSettings
from entrypoints.failures import CommandFailed
from entrypoints.settings import VERSION

# The one table from what the API answered to an exit code of sysexits.
_EXIT_CODES = {
    grpc.StatusCode.NOT_FOUND: os.EX_NOINPUT,
    grpc.StatusCode.ALREADY_EXISTS: os.EX_CANTCREAT,
    grpc.StatusCode.INVALID_ARGUMENT: os.EX_DATAERR,
    grpc.StatusCode.PERMISSION_DENIED: os.EX_NOPERM,
    grpc.StatusCode.UNAUTHENTICATED: os.EX_NOPERM,
    grpc.StatusCode.FAILED_PRECONDITION: os.EX_UNAVAILABLE,
    grpc.StatusCode.UNAVAILABLE: os.EX_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: os.EX_UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: os.EX_UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: os.EX_TEMPFAIL,
}


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OperatorCallFailed as error:
            raise Failure(str(error), _EXIT_CODES.get(error.code, os.EX_SOFTWARE)) from None
        except CommandFailed as error:
            raise Failure(str(error), error.exit_code) from None
        except InvalidField as error:
            raise Failure(str(error), os.EX_DATAERR) from None
        except UnicodeError:
            raise Failure("an argument is no UTF-8 text", os.EX_DATAERR) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"cannot go on: {error.strerror}", os.EX_IOERR) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\n" + "\n".join(["Environment variables:", *CliSettings.help_lines()]),
)
@click.option("--api", metavar="HOST:PORT", help="The API's address, else API_ADDRESS.")
@click.version_option(VERSION, prog_name="manmanv2", message="%(prog)s %(version)s")
def manmanv2(api: str | None) -> None:
    """The operator's command for a fleet of Docker machines."""


for group in (servers, configs, db, demo):
    manmanv2.add_command(group)


def main() -> None:
    sys.exit(manmanv2())


if __name__ == "__main__":
    main()
