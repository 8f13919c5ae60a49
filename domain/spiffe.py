"""Who a certificate is for, as its one URI says it: a SPIFFE ID, https://spiffe.io."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domain.keys import OPERATOR_CERTIFICATE, is_key_id

DEFAULT_TRUST_DOMAIN = "manmanv2"
MAX_TRUST_DOMAIN_LENGTH = 255

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SERVER_ID = re.compile(r"[1-9][0-9]{0,18}")
_SERVER, _OPERATOR = "server", "operator"
_COMMON_NAME = re.compile(rf"{_SERVER} (?P<id>\d{{1,19}}) epoch (?P<epoch>\d{{1,19}})")


@dataclass(frozen=True, slots=True)
class Certified:
    """Whose certificate a caller has shown: a server's, or an operator's; neither is nobody's.

    `epoch` is that of the server's registration by which it was issued, 0 where it does not say,
    since others than the API issued it: then it is of each.
    """

    server_id: int = 0
    epoch: int = 0
    key_id: str = ""


NOT_CERTIFIED = Certified()


def server_spiffe_id(trust_domain: str, server_id: int) -> str:
    return f"spiffe://{trust_domain}/{_SERVER}/{server_id}"


def operator_spiffe_id(trust_domain: str, key_id: str) -> str:
    return f"spiffe://{trust_domain}/{_OPERATOR}/{key_id}"


def server_common_name(server_id: int, epoch: int) -> str:
    return f"{_SERVER} {server_id} epoch {epoch}"


def certified_by(spiffe_ids: Sequence[str], common_name: str, trust_domain: str) -> Certified:
    """Nobody, unless it is exactly one ID of this trust domain, as the standard has it."""
    if len(spiffe_ids) != 1:
        return NOT_CERTIFIED
    start = f"spiffe://{trust_domain}/"
    if not spiffe_ids[0].startswith(start):
        return NOT_CERTIFIED
    kind, _, name = spiffe_ids[0].removeprefix(start).partition("/")
    if kind == _SERVER and _SERVER_ID.fullmatch(name):
        said = _COMMON_NAME.fullmatch(common_name)
        return Certified(int(name), int(said["epoch"]) if said and said["id"] == name else 0)
    if kind == _OPERATOR and is_key_id(name, OPERATOR_CERTIFICATE):
        return Certified(key_id=name)
    return NOT_CERTIFIED


def is_trust_domain(text: str) -> bool:
    return len(text) <= MAX_TRUST_DOMAIN_LENGTH and bool(_TRUST_DOMAIN.fullmatch(text))
