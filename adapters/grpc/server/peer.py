"""The caller of the current call: context variables, and functions that read what gRPC reports."""

import ipaddress
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from urllib.parse import unquote

from domain.operator_key import Operator
from domain.spiffe import NOT_CERTIFIED, Certified, certified_by

# The IP address, empty if there is none.
caller_address: ContextVar[str] = ContextVar("caller_address", default="")
# Set in operators' calls only.
current_operator: ContextVar[Operator] = ContextVar("current_operator")
# The owner of the client certificate.
certified_caller: ContextVar[Certified] = ContextVar("certified_caller", default=NOT_CERTIFIED)

# gRPC's names for the fields of the client certificate, which it has verified.
_URIS, _COMMON_NAME = "peer_uri", "x509_common_name"


def certified_of(auth_context: Mapping[str, Iterable[bytes]], trust_domain: str) -> Certified:
    uris, names = (
        [value.decode("ascii", "replace") for value in auth_context.get(key, ())]
        for key in (_URIS, _COMMON_NAME)
    )
    return certified_by(uris, "".join(names), trust_domain) if uris else NOT_CERTIFIED


# Most IPv6 customers get a network of this size (RFC 6177).
_IPV6_PREFIX_LENGTH = 64


def address_of(peer: str) -> str:
    """The IP address, empty if there is none. `peer` is in gRPC's notation:
    `ipv4:127.0.0.1:53412`, `ipv6:%5B::1%5D:53412`, `unix:…`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def network_of(address: str) -> str:
    """The addresses that count as one caller: a /64 network of IPv6, one address of IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and not ip.ipv4_mapped:
        return str(ipaddress.ip_network((ip, _IPV6_PREFIX_LENGTH), strict=False))
    return address
