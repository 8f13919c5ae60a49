"""Who is at the other end of a call."""

from contextvars import ContextVar
from urllib.parse import unquote

from domain.operator_key import Operator

# The IP address, or empty where there is none.
caller_address: ContextVar[str] = ContextVar("caller_address", default="")
# Who makes an operators' call; calls of hosts have none.
current_operator: ContextVar[Operator] = ContextVar("current_operator")


def address_of(peer: str) -> str:
    """`peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`, `ipv6:%5B::1%5D:53412`, `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
