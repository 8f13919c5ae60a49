import contextlib
import math
import os
import socket
from collections.abc import Mapping

from domain.host_state import HostState

_TIMEOUT_SECONDS = 1.0


class SystemdNotifier:
    """The sd_notify protocol: one datagram for each message, to the socket that systemd names.

    Does nothing if NOTIFY_SOCKET is not set.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            # An abstract socket: systemd writes its leading zero byte as @.
            self._address = "\0" + self._address[1:]
        self.watchdog_interval = _half_of_watchdog(environment)

    def state_changed(self, state: HostState) -> None:
        stopping = "STOPPING=1\n" if state is HostState.LEAVING else ""
        self._send(f"{stopping}STATUS={state}")

    def ready(self) -> None:
        self._send("READY=1")

    def ping_watchdog(self) -> None:
        if self.watchdog_interval < math.inf:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # The host continues even if the service manager does not listen.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
        ):
            notifications.settimeout(_TIMEOUT_SECONDS)
            notifications.sendto(message.encode(), self._address)


def _half_of_watchdog(environment: Mapping[str, str]) -> float:
    # A child inherits the variables too: WATCHDOG_PID names the process that they are for.
    watched_pid = environment.get("WATCHDOG_PID") or str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    if watched_pid != str(os.getpid()) or not microseconds.isdecimal() or not int(microseconds):
        return math.inf
    return int(microseconds) / 1_000_000 / 2
