"""The host manager's command.

At first it imports only the standard library, so that it blocks signals before anything slow is
loaded.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entrypoints.command import Command
    from entrypoints.host.settings import HostSettings

_log = logging.getLogger(__name__)

NAME = "manmanv2-host"

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
# Signals that arrive within this time are one request to stop.
_ONE_REQUEST_SECONDS = 0.1


def main() -> None:
    # Blocked until a thread waits for them, and always in every other thread: a handler could run
    # while the main thread holds a lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    sys.exit(command().run())


def command() -> "Command[HostSettings]":
    from entrypoints.command import Action, Command
    from entrypoints.host.settings import HostSettings

    return Command(
        NAME,
        "Registers this machine with the ManManV2 API and sends its heartbeats.",
        HostSettings,
        run,
        check_health,
        actions={
            "deregister": Action(
                "have the API delete the server that STATE_DIR names, while no host manager runs"
                " there",
                deregister,
            )
        },
        flags={
            "DEREGISTER_ON_EXIT": "delete the server from the API when the host manager is stopped"
        },
    )


def run(settings: "HostSettings") -> int:
    """Run until a signal arrives. Returns the exit code."""
    from entrypoints.host.container import HostContainer
    from entrypoints.host.exits import exit_for

    _warn_about_whitespace(settings)
    container = HostContainer(settings=settings)
    threading.Thread(
        target=_handle_signals, args=(container.sleep().stop,), name="signals", daemon=True
    ).start()
    with ExitStack() as stack:
        tracing = container.tracing()
        if tracing:
            stack.callback(tracing.close)
        management_server = container.management_server()
        if management_server:
            from entrypoints.management_server import start_management_server

            start_management_server(management_server, settings.metrics_address)
            stack.callback(management_server.close)
        stack.callback(container.control_plane().close)
        run_host = container.run_host()
        try:
            run_host()
        except Exception as error:  # noqa: BLE001 - every failure ends in a log line and an exit code
            known = exit_for(error, settings)
            if known is None:
                _log.exception("The host manager failed. This is a bug; please report it.")
                return os.EX_SOFTWARE
            _log.error("%s", known.sentence)
            return known.code
    return os.EX_OK


def deregister(settings: "HostSettings") -> None:
    from contextlib import closing

    from entrypoints.failures import CommandFailed, ConfigurationError
    from entrypoints.host.container import HostContainer
    from entrypoints.host.exits import exit_for

    if settings.state_dir is None:
        raise ConfigurationError(
            "STATE_DIR: must be set to the state directory of the host manager",
            setting="STATE_DIR",
        )
    # Nothing here waits for a signal, and the operator may want to abort.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    container = HostContainer(settings=settings)
    with closing(container.control_plane()):
        try:
            deregistered = container.deregister_host()()
        except OSError as error:
            fix = "fix the directory or its permissions"
            if isinstance(error, PermissionError):
                fix = "run this command as the user of the host manager"
            raise ConfigurationError(
                f"STATE_DIR {settings.state_dir} cannot be used ({error.strerror})", fix
            ) from None
        except Exception as error:
            known = exit_for(error, settings)
            if known is None:
                raise
            raise CommandFailed(known.sentence, known.code) from None
    server_id, name = deregistered.state.server_id, deregistered.state.name
    print(
        f"Server {server_id} ({name}) had already been deleted; its state is now deleted too."
        if deregistered.was_gone
        else f"Deregistered server {server_id} ({name}); `manmanv2 servers restore {server_id}`"
        " brings it back.",
        flush=True,
    )


def check_health(settings: "HostSettings") -> None:
    from entrypoints.failures import CommandFailed, ConfigurationError
    from entrypoints.management_server import health_problem

    if not settings.metrics_address:
        raise ConfigurationError(
            "METRICS_ADDRESS: must be set to check the health of the host manager, for example"
            " 127.0.0.1:9091",
            setting="METRICS_ADDRESS",
        )
    problem = health_problem(settings.metrics_address, NAME)
    if problem:
        raise CommandFailed(problem, os.EX_UNAVAILABLE)


def _warn_about_whitespace(settings: "HostSettings") -> None:
    key = settings.registration_key.reveal() if settings.registration_key else ""
    if key != key.strip():
        _log.warning(
            "REGISTRATION_KEY begins or ends with blanks or line ends: remove them if the API"
            " refuses the key."
        )


def _handle_signals(stop: Callable[[], None]) -> None:
    signal.sigwait(_STOP_SIGNALS)
    stop()
    # A second signal at once is not impatience: timeout(1) signals a process, then its group.
    time.sleep(_ONE_REQUEST_SECONDS)
    while signal.sigtimedwait(_STOP_SIGNALS, 0):
        pass
    second = signal.sigwait(_STOP_SIGNALS)
    # The operator does not want to wait: end without a leaving heartbeat.
    os._exit(128 + second)


if __name__ == "__main__":
    main()
