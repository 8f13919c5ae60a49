"""Keys that are shown once and kept as a digest: `id.secret`, with an id that anybody may read,
and `id.secret.digest` where the key says by which authority the API is known."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Self

from domain.errors import InvalidField

# Lower case and digits that are not mistaken for letters (RFC 4648, base32).
_ID = re.compile(r"(?P<kind>jk|ok|oc)-[a-z2-7]{10}")
_SHOWN = re.compile(r"((?:jk|ok)-[a-z2-7]{10})\.[^\s'\"]+", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID_LENGTH = 10
SECRET_BYTES = 32
# No secret has it.
_NO_DIGEST = "0" * 64

JOIN_KEY = "jk"
OPERATOR_KEY = "ok"
# Known by a certificate, and not by a secret.
OPERATOR_CERTIFICATE = "oc"
OPERATOR_KINDS = (OPERATOR_KEY, OPERATOR_CERTIFICATE)


@dataclass(frozen=True, slots=True)
class PlaintextKey:
    """A key as whoever holds it shows it.

    `authority_digest` is by which authority its holder knows the API, as the SHA-256 of that one's
    certificate in hexadecimal digits; empty where the key does not say.
    """

    key_id: str
    secret: str = field(repr=False)
    authority_digest: str = ""

    @classmethod
    def parse(cls, text: str, kind: str) -> Self | None:
        """None when the text is no key of this kind."""
        key_id, _, rest = text.partition(".")
        secret, pins, authority_digest = rest.partition(".")
        matched = _ID.fullmatch(key_id)
        if not matched or matched["kind"] != kind or not secret:
            return None
        if pins and not _DIGEST.fullmatch(authority_digest):
            return None
        # What JSON may hold, and no digest can be made of.
        if not secret.isascii():
            return None
        return cls(key_id, secret, authority_digest)

    def __str__(self) -> str:
        parts = (self.key_id, self.secret, self.authority_digest)
        return ".".join(part for part in parts if part)

    @property
    def digest(self) -> str:
        """The secret's SHA-256 in hexadecimal digits, which is all that is kept of it.

        The secret has 256 random bits, so there is nothing that a slower hash would protect.
        """
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, digest: str | None) -> bool:
        """Whether this is the digest of the secret, compared in constant time.

        None is that of a key that there is not: it takes as long to find out.
        """
        return hmac.compare_digest(self.digest, digest or _NO_DIGEST)


def is_key_id(key_id: str, *kinds: str) -> bool:
    """Whether it is the public id of a key of one of these kinds, without its secret."""
    matched = _ID.fullmatch(key_id)
    return matched is not None and matched["kind"] in kinds


def check_key_id(key_id: str, *kinds: str) -> None:
    """Raise InvalidField unless `is_key_id`."""
    if not is_key_id(key_id, *kinds):
        begins = " or ".join(f"{kind}-" for kind in kinds)
        raise InvalidField(
            "key_id",
            f"must be {begins} followed by {ID_LENGTH} letters and digits, without the secret",
        )


def without_secrets(text: str) -> str:
    """The text with the ids of the keys that are in it, and not with what follows them."""
    return _SHOWN.sub(r"\1", text)


def public_id(text: str) -> str:
    """The id of a key that is shown with its secret or without, empty when the text is none."""
    key_id = text.partition(".")[0]
    return key_id if _ID.fullmatch(key_id) else ""


def equal_in_constant_time(given: str, expected: str) -> bool:
    """Compared in constant time, on bytes; JSON may hold halves of characters."""
    return hmac.compare_digest(
        given.encode(errors="surrogatepass"), expected.encode(errors="surrogatepass")
    )
