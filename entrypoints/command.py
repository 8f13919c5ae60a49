"""The command line that `manmanv2-api` and `manmanv2-host` share."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from entrypoints.failures import CommandFailed
from entrypoints.logs import configure_logs
from entrypoints.settings import BUILD, ServiceSettings
from entrypoints.tracing import warn_if_tracing_is_impossible

_log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True)
class Action(Generic[S]):
    """Something that the command does once, instead of serving. `run` prints the result and raises
    CommandFailed. `purpose` stands in the help after the name of the action."""

    purpose: str
    run: Callable[[S], None]


@dataclass(frozen=True)
class Command(Generic[S]):
    """A command that serves until it is stopped.

    `serve` returns the exit code (sysexits). `check_health` asks the process that serves with the
    same settings, and raises CommandFailed. `flags` maps a setting to the help of an option that
    has its name and makes it true.
    """

    name: str
    purpose: str
    settings_class: type[S]
    serve: Callable[[S], int]
    check_health: Callable[[S], None]
    actions: Mapping[str, Action[S]] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)

    def parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            self.name,
            description=self.purpose,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="\n".join(
                ["settings (environment variables):", *self.settings_class.help_lines()]
            ),
        )
        parser.add_argument("--version", action="version", version=f"{self.name} {BUILD}")
        for variable, purpose in self.flags.items():
            option = f"--{variable.lower().replace('_', '-')}"
            parser.add_argument(option, action="store_true", dest=variable, help=purpose)
        others = "".join(f" {name}: {action.purpose}." for name, action in self.actions.items())
        parser.add_argument(
            "action",
            nargs="?",
            choices=["run", "config", "health", *self.actions],
            default="run",
            help="run: serve until stopped (the default). config: print the effective settings"
            " without secrets. health: ask the process that runs with these settings; the exit code"
            f" is 0 if it is healthy.{others}",
        )
        return parser

    def run(self) -> int:
        """Parse the command line, read the settings, and serve. Returns the exit code."""
        arguments = self.parser().parse_args()
        flagged = {name: "true" for name in self.flags if getattr(arguments, name)}
        try:
            settings = self.settings_class.load({**os.environ, **flagged})
            warnings = list(self.settings_class.deprecation_warnings())
            if arguments.action == "config":
                for warning in warnings:
                    print(f"{self.name}: {warning}.", file=sys.stderr)
                print("\n".join(settings.redacted_lines()), flush=True)
                return os.EX_OK
            if arguments.action == "health":
                self.check_health(settings)
                print("ok", flush=True)
                return os.EX_OK
            configure_logs(settings.log_level, settings.log_format)
            for warning in warnings:
                _log.warning("%s", warning)
            if arguments.action in self.actions:
                self.actions[arguments.action].run(settings)
                return os.EX_OK
            warn_if_tracing_is_impossible(settings)
            return self.serve(settings)
        except CommandFailed as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return error.exit_code
        except OSError as error:
            # The reader of the output is gone, or the disk is full. Python must not try again at
            # exit to write the rest.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print(f"{self.name}: {error.strerror}", file=sys.stderr)
            return os.EX_IOERR
        except Exception:  # noqa: BLE001 - whatever it is, it ends in a log line and an exit code
            _log.exception("%s failed because of a bug in it; please report it", self.name)
            return os.EX_SOFTWARE
