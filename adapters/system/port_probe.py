import errno
import socket
from contextlib import suppress

import psutil

from application.ports.port_probe import PortFound, PortState

_STATES = {
    errno.EADDRINUSE: PortState.TAKEN,
    errno.EACCES: PortState.FORBIDDEN,
}


class SystemPortProbe:
    def look(self, address: str) -> PortFound:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                # Connections of a past run that linger are no listener.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, int(port)))
        except OSError as error:
            state = _STATES.get(error.errno or 0, PortState.ELSEWHERE)
            return PortFound(state, _owner(int(port)) if state is PortState.TAKEN else "")
        return PortFound(PortState.FREE)


def _owner(port: int) -> str:
    # A user who may not look at others' processes sees the port and not who has it.
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status != psutil.CONN_LISTEN or not connection.pid:
                continue
            # An address is a pair, and nothing where there is none.
            if connection.laddr[1:] == (port,):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another process"
