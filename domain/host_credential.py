"""The credential with which a host that has joined proves its identity.

It is signed, so that the API can check it without a look-up. It is valid until it expires, also
after a newer one was issued, so that a lost answer does no harm.
"""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.spiffe import Certified

_PREFIX = "hc"
_PAYLOAD = re.compile(r"([a-z2-7]{10}) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)")
_SIGNED = re.compile(rb"(hc\.[\w-]+)\.[\w-]+")
# Far longer than any credential.
_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class HostCredential:
    """The content of a credential. The serial is public and random; times are whole seconds.

    `epoch` is the epoch of the registration that issued the credential, or that issued the one it
    renews.
    """

    serial: str
    server_id: int
    epoch: int
    issued_at: datetime
    expires_at: datetime

    def is_valid_at(self, now: datetime) -> bool:
        return now < self.expires_at

    def is_due_for_renewal_at(self, now: datetime) -> bool:
        """Whether less than half of its lifetime is left."""
        return self.expires_at - now < (self.expires_at - self.issued_at) / 2


def credential_from_certificate(certified: Certified) -> HostCredential:
    """The credential that a certificate is equal to. It never expires, because the TLS layer has
    already checked the certificate's validity."""
    always = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    return HostCredential("", certified.server_id, certified.epoch, *always)


def issue(credential: HostCredential, signing_key: bytes) -> str:
    issued_at, expires_at = (
        int(moment.timestamp()) for moment in (credential.issued_at, credential.expires_at)
    )
    payload = " ".join(
        map(str, (credential.serial, credential.server_id, credential.epoch, issued_at, expires_at))
    )
    signed = f"{_PREFIX}.{_text(payload.encode())}"
    return f"{signed}.{_signature(signed, signing_key)}"


def read(text: str, signing_key: bytes) -> HostCredential | None:
    """None for any text that was not issued with this key. An expired credential is returned."""
    signed, _, signature = text.rpartition(".")
    prefix, _, encoded = signed.partition(".")
    if prefix != _PREFIX or len(text) > _MAX_LENGTH or not text.isascii():
        return None
    # Compared in constant time, and before the payload is parsed.
    if not hmac.compare_digest(signature, _signature(signed, signing_key)):
        return None
    decoded = urlsafe_b64decode(f"{encoded}{'=' * (-len(encoded) % 4)}").decode()
    payload = _PAYLOAD.fullmatch(decoded)
    if not payload:
        return None
    serial, server_id, epoch, issued_at, expires_at = payload.groups()
    return HostCredential(
        serial, int(server_id), int(epoch), _moment(issued_at), _moment(expires_at)
    )


def without_signatures(content: bytes) -> bytes:
    """The content with the signature of every credential removed, so that none can be used."""
    return _SIGNED.sub(rb"\1", content)


def _signature(signed: str, signing_key: bytes) -> str:
    return _text(hmac.digest(signing_key, signed.encode(), "sha256"))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
