import contextlib
import math
import os
import socket
from collections.abc import Mapping

from domain.host_state import HostState

_MAX_WAIT_SECONDS = 1.0


class SystemdNotifier:
    """The sd_notify protocol: a datagram a message, to the socket that systemd names.

    Does nothing where NOTIFY_SOCKET is not set.
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
        # A service manager that does not listen is no reason to stop working.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
        ):
            notifications.settimeout(_MAX_WAIT_SECONDS)
            notifications.sendto(message.encode(), self._address)


def _half_of_watchdog(environment: Mapping[str, str]) -> float:
    # WATCHDOG_PID tells whom it is meant for: a child inherits the variables too.
    meant_for = environment.get("WATCHDOG_PID") or str(os.getpid())
    microseconds = environment.get("WATCHDOG_USEC", "")
    if meant_for != str(os.getpid()) or not microseconds.isdecimal() or not int(microseconds):
        return math.inf
    return int(microseconds) / 1_000_000 / 2
