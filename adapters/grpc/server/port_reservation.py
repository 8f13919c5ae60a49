import socket


class CannotListen(Exception):
    """Another program has the port, or the address does not belong to this machine."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


def reserve_port(address: str) -> socket.socket:
    """A socket that reserves HOST:PORT for processes that share it, and accepts no connections.

    It is first bound without sharing. Otherwise another program that shares its port would get
    part of our calls. Raises CannotListen.
    """
    host, _, port = address.rpartition(":")
    try:
        candidates = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        # IPv4 first: a name may have an IPv6 address, too, on a machine without IPv6.
        family, *_, sockaddr = min(candidates, key=lambda each: each[0] is not socket.AF_INET)
        with socket.socket(family) as unshared:
            # Connections that linger from an earlier run must not count as a listener.
            unshared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            unshared.bind(sockaddr)
        reservation = socket.socket(family)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation.bind(sockaddr)
    except OSError:
        raise CannotListen(address) from None
    return reservation
