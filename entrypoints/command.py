"""What `manmanv2-api` and `manmanv2-host` have in common as commands."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TypeVar

from entrypoints.failures import CommandFailed
from entrypoints.logs import configure_logs
from entrypoints.settings import VERSION, Settings

S = TypeVar("S", bound=Settings)


def run_command(name: str, purpose: str, settings_class: type[S], serve: Callable[[S], int]) -> int:
    """Parse the command line, read the settings, serve; returns the exit code (sysexits)."""
    parser = argparse.ArgumentParser(
        name,
        description=purpose,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(["environment variables:", *settings_class.help_lines()]),
    )
    parser.add_argument("--version", action="version", version=f"{name} {VERSION}")
    parser.add_argument(
        "action",
        nargs="?",
        choices=["run", "config"],
        default="run",
        help="run (the default), or print the settings in force without secrets",
    )
    arguments = parser.parse_args()
    try:
        settings = settings_class.load()
        if arguments.action == "config":
            print("\n".join(settings.redacted_lines()))
            return os.EX_OK
        configure_logs(settings.log_level, settings.log_format)
        return serve(settings)
    except CommandFailed as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
