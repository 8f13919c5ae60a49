import socket


class CannotListen(Exception):
    """Somebody else has the port, or the address is not of this machine."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.address = address


def reserve_port(address: str) -> socket.socket:
    """A socket that holds the port, for those that are to share it, without taking connections.

    Bound alone first: else another program that shares its port would take part of our calls.
    `address` is HOST:PORT. Raises CannotListen.
    """
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        # A name may have an address of IPv6 beside one of IPv4, on a machine without IPv6.
        family, *_, where = min(found, key=lambda one: one[0] is not socket.AF_INET)
        with socket.socket(family) as alone:
            # Connections of a past run that linger are no listener.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(where)
        holder = socket.socket(family)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(where)
    except OSError:
        raise CannotListen(address) from None
    return holder
