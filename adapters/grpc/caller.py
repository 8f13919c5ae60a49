"""Who is at the other end of a call."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from urllib.parse import unquote

from domain.operator_key import Operator
from domain.spiffe import NOBODY, Certified, certified_by

# The IP address, or empty where there is none.
caller_address: ContextVar[str] = ContextVar("caller_address", default="")
# Who makes an operators' call; calls of hosts have none.
current_operator: ContextVar[Operator] = ContextVar("current_operator")
# Whose certificate the caller has shown.
certified_caller: ContextVar[Certified] = ContextVar("certified_caller", default=NOBODY)

# By gRPC's name, the URIs in the certificate that its client has shown, which was verified.
_URIS = "peer_uri"


def certified_of(auth_context: Mapping[str, Iterable[bytes]], trust_domain: str) -> Certified:
    uris = [uri.decode("ascii", "replace") for uri in auth_context.get(_URIS, ())]
    return certified_by(uris, trust_domain) if uris else NOBODY


def address_of(peer: str) -> str:
    """`peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`, `ipv6:%5B::1%5D:53412`, `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
