"""What `manmanv2-api` and `manmanv2-host` have in common as commands."""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from entrypoints.failures import CommandFailed
from entrypoints.logs import configure_logs
from entrypoints.settings import BUILD, ServiceSettings

S = TypeVar("S", bound=ServiceSettings)


def run_command(
    name: str,
    purpose: str,
    settings_class: type[S],
    serve: Callable[[S], int],
    check_health: Callable[[S], None],
) -> int:
    """Parse the command line, read the settings, serve; returns the exit code (sysexits).

    `check_health` asks the process that serves with the same settings, and raises CommandFailed.
    """
    parser = argparse.ArgumentParser(
        name,
        description=purpose,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["environment variables:", *settings_class.help_lines()]),
    )
    parser.add_argument("--version", action="version", version=f"{name} {BUILD}")
    parser.add_argument(
        "action",
        nargs="?",
        choices=["run", "config", "health"],
        default="run",
        help="run (the default); config prints the settings in force without secrets; health asks"
        " the one that runs here with these settings, and exits with 0 if it is well",
    )
    arguments = parser.parse_args()
    try:
        settings = settings_class.load()
        if arguments.action == "config":
            print("\n".join(settings.redacted_lines()), flush=True)
            return os.EX_OK
        if arguments.action == "health":
            check_health(settings)
            print("ok", flush=True)
            return os.EX_OK
        configure_logs(settings.log_level, settings.log_format)
        return serve(settings)
    except CommandFailed as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        # Nobody reads what we print, or the disk is full. What is left unwritten must not be
        # tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"{name}: {error.strerror}", file=sys.stderr)
        return os.EX_IOERR
    except Exception:
        logging.getLogger(__name__).exception(
            "%s failed: this is a mistake in it, please report it", name
        )
        return os.EX_SOFTWARE
