"""Who is at the other end of a call."""

import ipaddress
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from urllib.parse import unquote

from domain.operator_key import Operator
from domain.spiffe import NOT_CERTIFIED, Certified, certified_by

# The IP address, or empty where there is none.
caller_address: ContextVar[str] = ContextVar("caller_address", default="")
# Who makes an operators' call; calls of hosts have none.
current_operator: ContextVar[Operator] = ContextVar("current_operator")
# Whose certificate the caller has shown.
certified_caller: ContextVar[Certified] = ContextVar("certified_caller", default=NOT_CERTIFIED)

# gRPC's names for what the certificate says that its client has shown, which was verified.
_URIS, _COMMON_NAME = "peer_uri", "x509_common_name"


def certified_of(auth_context: Mapping[str, Iterable[bytes]], trust_domain: str) -> Certified:
    uris, names = (
        [value.decode("ascii", "replace") for value in auth_context.get(key, ())]
        for key in (_URIS, _COMMON_NAME)
    )
    return certified_by(uris, "".join(names), trust_domain) if uris else NOT_CERTIFIED


# Of IPv6: whoever gets an address mostly gets as many (RFC 6177).
_CUSTOMARY_PREFIX = 64


def address_of(peer: str) -> str:
    """`peer` is as gRPC writes it: `ipv4:127.0.0.1:53412`, `ipv6:%5B::1%5D:53412`, `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def network_of(address: str) -> str:
    """The addresses that one caller may have: of IPv6 a whole network, of IPv4 the one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network((ip, _CUSTOMARY_PREFIX), strict=False))
    return address
