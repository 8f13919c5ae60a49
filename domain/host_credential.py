"""The credential by which a host that has joined proves who it is: signed, so that nobody has to
look it up, and good until it expires, so that an answer may be lost."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.spiffe import Certified

_PREFIX = "hc"
_SAID = re.compile(r"([a-z2-7]{10}) ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)")
_SIGNED = re.compile(rb"(hc\.[\w-]+)\.[\w-]+")
# Far more than any has.
_MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class HostCredential:
    """What a credential says. The serial is public and random; times are whole seconds.

    `epoch` is that of the registration by which the host got it, or the one that it renews.
    """

    serial: str
    server_id: int
    epoch: int
    issued_at: datetime
    expires_at: datetime

    def is_valid_at(self, now: datetime) -> bool:
        return now < self.expires_at

    def is_due_for_renewal_at(self, now: datetime) -> bool:
        """Whether less than half of its life is left, and another is to take its place."""
        return self.expires_at - now < (self.expires_at - self.issued_at) / 2


def credential_from_certificate(certified: Certified) -> HostCredential:
    """A certificate as good as that, whose time was looked at by whoever took it."""
    always = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    return HostCredential("", certified.server_id, certified.epoch, *always)


def issue(credential: HostCredential, signing_key: bytes) -> str:
    issued_at, expires_at = (
        int(moment.timestamp()) for moment in (credential.issued_at, credential.expires_at)
    )
    said = " ".join(
        map(str, (credential.serial, credential.server_id, credential.epoch, issued_at, expires_at))
    )
    signed = f"{_PREFIX}.{_text(said.encode())}"
    return f"{signed}.{_signature(signed, signing_key)}"


def read(text: str, signing_key: bytes) -> HostCredential | None:
    """None for whatever was not issued with this key; not for one that has expired since."""
    signed, _, signature = text.rpartition(".")
    prefix, _, payload = signed.partition(".")
    if prefix != _PREFIX or len(text) > _MAX_LENGTH or not text.isascii():
        return None
    # Compared in constant time, and before anything of what it says is looked at.
    if not hmac.compare_digest(signature, _signature(signed, signing_key)):
        return None
    said = _SAID.fullmatch(urlsafe_b64decode(f"{payload}{'=' * (-len(payload) % 4)}").decode())
    if not said:
        return None
    serial, server_id, epoch, issued_at, expires_at = said.groups()
    return HostCredential(
        serial, int(server_id), int(epoch), _moment(issued_at), _moment(expires_at)
    )


def without_signatures(content: bytes) -> bytes:
    """With what the credentials in it say, and nothing by which they are good for anything."""
    return _SIGNED.sub(rb"\1", content)


def _signature(signed: str, signing_key: bytes) -> str:
    return _text(hmac.digest(signing_key, signed.encode(), "sha256"))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
