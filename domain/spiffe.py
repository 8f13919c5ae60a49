"""The SPIFFE ID (https://spiffe.io) of a certificate: its only URI, which names its owner."""

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
    """The owner of the certificate that a caller presents: a server, an operator or neither.

    `epoch` is that of the server's registration that issued the certificate. It is 0 if the
    certificate names none, because another CA issued it: then it is valid for every epoch.
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
    """NOT_CERTIFIED unless there is exactly one ID, of this trust domain, as the standard says."""
    if len(spiffe_ids) != 1:
        return NOT_CERTIFIED
    start = f"spiffe://{trust_domain}/"
    if not spiffe_ids[0].startswith(start):
        return NOT_CERTIFIED
    kind, _, name = spiffe_ids[0].removeprefix(start).partition("/")
    if kind == _SERVER and _SERVER_ID.fullmatch(name):
        matched = _COMMON_NAME.fullmatch(common_name)
        epoch = int(matched["epoch"]) if matched and matched["id"] == name else 0
        return Certified(int(name), epoch)
    if kind == _OPERATOR and is_key_id(name, OPERATOR_CERTIFICATE):
        return Certified(key_id=name)
    return NOT_CERTIFIED


def is_trust_domain(text: str) -> bool:
    return len(text) <= MAX_TRUST_DOMAIN_LENGTH and bool(_TRUST_DOMAIN.fullmatch(text))
