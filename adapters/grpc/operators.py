import hmac
import ipaddress
from collections.abc import Iterable

from adapters.grpc.caller import address_of
from adapters.grpc.errors import OperatorKeyRequired, OperatorsOnThisMachineOnly


class OperatorAccess:
    """Who may make operators' calls.

    Without a key: callers on this machine. With one: whoever sends it, from anywhere, and
    nobody else, since behind a proxy every caller seems to be on this machine.
    """

    def __init__(self, key: str | None) -> None:
        self._expected = key.encode() if key else None

    def check(self, peer: str, metadata: Iterable[tuple[str, str | bytes]]) -> None:
        """Raises OperatorsOnThisMachineOnly or OperatorKeyRequired.

        `peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`.
        """
        if self._expected is None:
            if not is_loopback(peer):
                raise OperatorsOnThisMachineOnly
            return
        sent = next((value for name, value in metadata if name == "authorization"), "")
        scheme, _, given = (sent.decode() if isinstance(sent, bytes) else sent).partition(" ")
        # The scheme's case does not matter (RFC 9110, 11.1).
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._expected):
            raise OperatorKeyRequired


def is_loopback(peer: str) -> bool:
    if peer.startswith("unix:"):
        return True
    try:
        ip = ipaddress.ip_address(address_of(peer))
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
