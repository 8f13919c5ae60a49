"""The host manager's command.

Only the standard library is imported here at first: signals are held back before anything slow
is loaded.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.command import Command
    from entrypoints.host.settings import HostSettings

_log = logging.getLogger(__name__)

NAME = "manmanv2-host"

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def main() -> None:
    # Held back until a thread waits for them, and for good in every other thread: a handler
    # would run in the middle of a lock that the main thread holds.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    sys.exit(command().run())


def command() -> "Command[HostSettings]":
    from entrypoints.command import Command
    from entrypoints.host.settings import HostSettings

    return Command(
        NAME,
        "Registers this machine with the ManManV2 API and keeps it known there.",
        HostSettings,
        run,
        check_health,
    )


def run(settings: "HostSettings") -> int:
    """Live until a signal; returns the exit code."""
    from application.ports.control_plane import ControlPlaneRefused
    from domain.errors import InvalidField, InvalidRegistrationKey
    from entrypoints.host.container import HostContainer
    from entrypoints.host.settings import Transport

    _warn_of_blanks(settings)
    container = HostContainer(settings=settings)
    threading.Thread(
        target=_obey_signals, args=(container.pause().stop,), name="signals", daemon=True
    ).start()
    with ExitStack() as stack:
        tracing = container.tracing()
        if tracing:
            stack.callback(tracing.close)
        side_port = container.side_port()
        if side_port:
            from entrypoints.side_port import open_side_port

            open_side_port(side_port, settings.metrics_address)
            stack.callback(side_port.close)
        stack.callback(container.control_plane().close)
        run_host = container.run_host()
        try:
            run_host()
        except InvalidRegistrationKey:
            _log.error(
                "The API %s refuses this host, invalid registration key: set REGISTRATION_KEY"
                " to the same as the API's, without blanks or line ends around it.",
                f"at {settings.api_address}"
                if settings.way is Transport.GRPC
                else "behind RABBITMQ_URL",
            )
            return os.EX_NOPERM
        except ControlPlaneRefused as error:
            _log.error("%s", error)
            return os.EX_CONFIG
        except InvalidField as error:
            _log.error("This host cannot be named so: %s. Set SERVER_NAME.", error)
            return os.EX_CONFIG
        except Exception:  # noqa: BLE001 - whatever it is, it ends in a log line and a code
            _log.exception("The host manager failed: this is a mistake in it, please report it.")
            return os.EX_SOFTWARE
    return os.EX_OK


def check_health(settings: "HostSettings") -> None:
    from entrypoints.failures import CommandFailed, ConfigurationError
    from entrypoints.side_port import why_not_well

    if not settings.metrics_address:
        raise ConfigurationError(
            "METRICS_ADDRESS: must be set for the host manager to be asked how it is, as"
            " 127.0.0.1:9091."
        )
    why_not = why_not_well(settings.metrics_address, NAME)
    if why_not:
        raise CommandFailed(why_not, os.EX_UNAVAILABLE)


def _warn_of_blanks(settings: "HostSettings") -> None:
    key = settings.registration_key.reveal() if settings.registration_key else ""
    if key != key.strip():
        _log.warning(
            "REGISTRATION_KEY begins or ends with a blank or a line end: if the API refuses it,"
            " take that away."
        )


def _obey_signals(stop: Callable[[], None]) -> None:
    signal.sigwait(_STOP_SIGNALS)
    stop()
    second = signal.sigwait(_STOP_SIGNALS)
    # Somebody has no time: leave without a farewell.
    os._exit(128 + second)


if __name__ == "__main__":
    main()
