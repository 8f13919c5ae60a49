import errno
import socket
from contextlib import suppress

import psutil

from application.ports.probes.port_probe import PortState, PortStatus

_STATES = {
    errno.EADDRINUSE: PortState.TAKEN,
    errno.EACCES: PortState.FORBIDDEN,
}

_WILDCARDS = {"0.0.0.0", "::"}  # nosec  # noqa: S104 - compared, not bound


class SystemPortProbe:
    def check(self, address: str) -> PortStatus:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            socket_address = socket.getaddrinfo(host, int(port), family, socket.SOCK_STREAM)[0][4]
        except (OSError, UnicodeError):
            return PortStatus(PortState.ELSEWHERE)
        try:
            with socket.socket(family) as probe:
                # Otherwise lingering connections of an earlier run would count as a listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(socket_address)
        except OSError as error:
            state = _STATES.get(error.errno or 0, PortState.ELSEWHERE)
            taken = state is PortState.TAKEN
            ip = str(socket_address[0])
            return PortStatus(state, _owner(family, ip, int(port)) if taken else "")
        return PortStatus(PortState.FREE)


def _owner(family: socket.AddressFamily, ip: str, port: int) -> str:
    # Without permission to inspect the processes of other users the owner stays unknown.
    with suppress(psutil.Error):
        listeners = [
            # Best match first: each family may have a listener at its wildcard address.
            (ip != its_ip, family != connection.family, connection.pid)
            for connection in psutil.net_connections("tcp")
            for its_ip, its_port in [connection.laddr or ("", 0)]
            if connection.status == psutil.CONN_LISTEN and connection.pid and its_port == port
            if its_ip == ip or not _WILDCARDS.isdisjoint((its_ip, ip))
        ]
        if listeners:
            owner = psutil.Process(min(listeners)[2])
            return f"{owner.name()} (pid {owner.pid})"
    return "another process"
