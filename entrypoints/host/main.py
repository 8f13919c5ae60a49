"""The host manager's command.

Only the standard library is imported here at first: signals are held back before anything slow
is loaded.
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
# Signals that come within it are one request to stop.
_ONE_REQUEST_SECONDS = 0.1


def main() -> None:
    # Held back until a thread waits for them, and for good in every other thread: a handler
    # would run in the middle of a lock that the main thread holds.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    sys.exit(command().run())


def command() -> "Command[HostSettings]":
    from entrypoints.command import Action, Command
    from entrypoints.host.settings import HostSettings

    return Command(
        NAME,
        "Registers this machine with the ManManV2 API and keeps it known there.",
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
            "DEREGISTER_ON_EXIT": "have the API delete the server when the host manager is stopped"
        },
    )


def run(settings: "HostSettings") -> int:
    """Live until a signal; returns the exit code."""
    from application.ports.host.control_plane import ControlPlaneRefused
    from application.ports.host.state_folder import StateFolderTaken
    from domain.errors import (
        InvalidField,
        InvalidRegistrationKey,
        NotAdmitted,
        SupersededRegistration,
        as_sentence,
    )
    from entrypoints.host.container import HostContainer

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
        except InvalidRegistrationKey:
            _log.error("%s", _invalid_key(settings))
            return os.EX_NOPERM
        except NotAdmitted as error:
            _log.error("The API does not let this host in: %s", as_sentence(error))
            return os.EX_NOPERM
        except SupersededRegistration as error:
            _log.error(
                "Another host manager took the place of this one, which ends: %s",
                as_sentence(error),
            )
            return os.EX_TEMPFAIL
        except (ControlPlaneRefused, StateFolderTaken) as error:
            _log.error("%s", error)
            return os.EX_CONFIG
        except InvalidField as error:
            _log.error("This host cannot be named so: %s. Set SERVER_NAME.", error)
            return os.EX_CONFIG
        except Exception:  # noqa: BLE001 - whatever it is, it ends in a log line and a code
            _log.exception("The host manager failed: this is a mistake in it, please report it.")
            return os.EX_SOFTWARE
    return os.EX_OK


def deregister(settings: "HostSettings") -> None:
    from contextlib import closing

    from application.host.deregister_host import NothingToDeregister
    from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
    from application.ports.host.state_folder import StateFolderTaken
    from domain.errors import (
        InvalidRegistrationKey,
        NotAdmitted,
        SupersededRegistration,
        as_sentence,
    )
    from entrypoints.failures import CommandFailed, ConfigurationError
    from entrypoints.host.container import HostContainer

    if settings.state_dir is None:
        raise ConfigurationError(
            "STATE_DIR: must be set to the folder in which the host manager keeps its state",
            setting="STATE_DIR",
        )
    # Nothing here waits for them, and somebody may lose patience.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    container = HostContainer(settings=settings)
    with closing(container.control_plane()):
        try:
            done = container.deregister_host()()
        except NothingToDeregister as error:
            raise ConfigurationError(
                str(error), "name a server by its id instead, `manmanv2 servers delete ID`"
            ) from None
        except (ControlPlaneRefused, StateFolderTaken) as error:
            raise ConfigurationError.of(error.diagnosis) from None
        except OSError as error:
            cure = "mend the folder or its permissions"
            if isinstance(error, PermissionError):
                cure = "run this as the user of the host manager"
            raise ConfigurationError(
                f"STATE_DIR {settings.state_dir} cannot be used ({error.strerror})", cure
            ) from None
        except InvalidRegistrationKey:
            raise CommandFailed(_invalid_key(settings), os.EX_NOPERM) from None
        except NotAdmitted as error:
            raise CommandFailed(as_sentence(error), os.EX_NOPERM) from None
        except SupersededRegistration as error:
            raise CommandFailed(as_sentence(error), os.EX_TEMPFAIL) from None
        except ControlPlaneUnavailable as error:
            raise CommandFailed(str(error), os.EX_UNAVAILABLE) from None
    server_id, name = done.state.server_id, done.state.name
    print(
        f"Server {server_id} ({name}) was deleted already; its state is deleted, too."
        if done.was_gone
        else f"Server {server_id} ({name}) is deregistered; `manmanv2 servers restore {server_id}`"
        " brings it back.",
        flush=True,
    )


def check_health(settings: "HostSettings") -> None:
    from entrypoints.failures import CommandFailed, ConfigurationError
    from entrypoints.management_server import health_problem

    if not settings.metrics_address:
        raise ConfigurationError(
            "METRICS_ADDRESS: must be set for the host manager to be asked how it"
            " is, as 127.0.0.1:9091",
            setting="METRICS_ADDRESS",
        )
    why_not = health_problem(settings.metrics_address, NAME)
    if why_not:
        raise CommandFailed(why_not, os.EX_UNAVAILABLE)


def _invalid_key(settings: "HostSettings") -> str:
    from entrypoints.host.settings import Transport

    at = f"at {settings.api_address}"
    api = at if settings.way is Transport.GRPC else "behind RABBITMQ_URL"
    return (
        f"The API {api} refuses this host, invalid registration key: set REGISTRATION_KEY to the"
        " same as the API's, without blanks or line ends around it."
    )


def _warn_about_whitespace(settings: "HostSettings") -> None:
    key = settings.registration_key.reveal() if settings.registration_key else ""
    if key != key.strip():
        _log.warning(
            "REGISTRATION_KEY begins or ends with a blank or a line end: if the API refuses it,"
            " take that away."
        )


def _handle_signals(stop: Callable[[], None]) -> None:
    signal.sigwait(_STOP_SIGNALS)
    stop()
    # Whoever signals a process and then its group, as timeout(1) does, is not in a hurry.
    time.sleep(_ONE_REQUEST_SECONDS)
    while signal.sigtimedwait(_STOP_SIGNALS, 0):
        pass
    second = signal.sigwait(_STOP_SIGNALS)
    # Somebody has no time: leave without a farewell.
    os._exit(128 + second)


if __name__ == "__main__":
    main()
