"""The commands of `manmanv2`, and the one place where their errors become exit codes."""

import os

import click

from domain.errors import InvalidField
from entrypoints.cli.audit import audit
from entrypoints.cli.ca import ca
from entrypoints.cli.completion import completion
from entrypoints.cli.configs import configs
from entrypoints.cli.conflicts import conflicts
from entrypoints.cli.db import db
from entrypoints.cli.demo import demo
from entrypoints.cli.doctor.command import doctor
from entrypoints.cli.keys import keys
from entrypoints.cli.machines import machines
from entrypoints.cli.operators import operators
from entrypoints.cli.servers.group import servers
from entrypoints.cli.session import Failure, to_click_error
from entrypoints.cli.settings import CliSettings
from entrypoints.failures import CommandFailed
from entrypoints.settings import BUILD


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            raise Failure(str(error), error.exit_code) from None
        except InvalidField as error:
            raise Failure(str(error), os.EX_DATAERR) from None
        except UnicodeError:
            raise Failure("an argument is not valid UTF-8", os.EX_DATAERR) from None
        except ModuleNotFoundError as error:
            # The host manager's image leaves out the libraries that only an API needs.
            raise Failure(
                f"this command needs {error.name}, which is not installed here: run it where the"
                " API is installed",
                os.EX_UNAVAILABLE,
            ) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"cannot continue: {error.strerror}", os.EX_IOERR) from None
        except Exception as error:
            failure = to_click_error(error)
            if failure:
                raise failure from None
            raise


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\n" + "\n".join(["Environment variables:", *CliSettings.help_lines()]),
)
@click.option(
    "--api",
    metavar="HOST:PORT",
    help="Address of the API, or https://HOST[:PORT] for TLS. Default: API_ADDRESS.",
)
@click.version_option(BUILD, prog_name="manmanv2", message="%(prog)s %(version)s")
def manmanv2(api: str | None) -> None:
    """Manage a fleet of Docker machines."""


for command in (
    servers,
    machines,
    configs,
    conflicts,
    keys,
    operators,
    ca,
    audit,
    db,
    demo,
    doctor,
    completion,
):
    manmanv2.add_command(command)
