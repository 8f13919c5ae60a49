import errno
import socket
from contextlib import suppress

import psutil

from application.ports.probes.port_probe import PortState, PortStatus

_STATES = {
    errno.EADDRINUSE: PortState.TAKEN,
    errno.EACCES: PortState.FORBIDDEN,
}

_WILDCARDS = {"0.0.0.0", "::"}  # nosec  # noqa: S104 - looked for, not bound


class SystemPortProbe:
    def check(self, address: str) -> PortStatus:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            place = socket.getaddrinfo(host, int(port), family, socket.SOCK_STREAM)[0][4]
        except (OSError, UnicodeError):
            return PortStatus(PortState.ELSEWHERE)
        try:
            with socket.socket(family) as probe:
                # Connections of a past run that linger are no listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
        except OSError as error:
            state = _STATES.get(error.errno or 0, PortState.ELSEWHERE)
            taken = state is PortState.TAKEN
            return PortStatus(state, _owner(family, str(place[0]), int(port)) if taken else "")
        return PortStatus(PortState.FREE)


def _owner(family: socket.AddressFamily, ip: str, port: int) -> str:
    # A user who may not look at others' processes sees the port and not who has it.
    with suppress(psutil.Error):
        in_the_way = [
            # Each family may have a listener at its wildcard.
            (ip != its_ip, family != found.family, found.pid)
            for found in psutil.net_connections("tcp")
            for its_ip, its_port in [found.laddr or ("", 0)]
            if found.status == psutil.CONN_LISTEN and found.pid and its_port == port
            if its_ip == ip or not _WILDCARDS.isdisjoint((its_ip, ip))
        ]
        if in_the_way:
            owner = psutil.Process(min(in_the_way)[2])
            return f"{owner.name()} (pid {owner.pid})"
    return "another process"
