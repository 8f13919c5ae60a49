"""Keys of the form `id.secret`. The id is public; the secret is shown once and stored as a digest.

A key of the form `id.secret.digest` also names the certificate authority of the API.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Self

from domain.errors import InvalidField

# Base32 (RFC 4648) in lower case: it has no digits that look like letters.
_ID = re.compile(r"(?P<kind>jk|ok|oc)-[a-z2-7]{10}")
_KEY_IN_TEXT = re.compile(r"((?:jk|ok)-[a-z2-7]{10})\.[^\s'\"]+", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{64}")
ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ID_LENGTH = 10
SECRET_BYTES = 32
# The digest of no secret.
_NO_DIGEST = "0" * 64

JOIN_KEY = "jk"
OPERATOR_KEY = "ok"
# An operator who is identified by a certificate instead of a secret.
OPERATOR_CERTIFICATE = "oc"
OPERATOR_KINDS = (OPERATOR_KEY, OPERATOR_CERTIFICATE)


@dataclass(frozen=True, slots=True)
class PlaintextKey:
    """A key with its secret, as it is created once and then presented by its holder.

    `authority_digest` identifies the certificate authority of the API: the SHA-256 of the
    authority's certificate in hexadecimal digits. It is empty if the key names no authority.
    """

    key_id: str
    secret: str = field(repr=False)
    authority_digest: str = ""

    @classmethod
    def parse(cls, text: str, kind: str) -> Self | None:
        """None if the text is not a key of this kind."""
        key_id, _, rest = text.partition(".")
        secret, pins, authority_digest = rest.partition(".")
        matched = _ID.fullmatch(key_id)
        if not matched or matched["kind"] != kind or not secret:
            return None
        if pins and not _DIGEST.fullmatch(authority_digest):
            return None
        # JSON may contain characters that cannot be encoded, and so have no digest.
        if not secret.isascii():
            return None
        return cls(key_id, secret, authority_digest)

    def __str__(self) -> str:
        parts = (self.key_id, self.secret, self.authority_digest)
        return ".".join(part for part in parts if part)

    @property
    def digest(self) -> str:
        """The SHA-256 of the secret in hexadecimal digits. Only this digest is stored.

        The secret has 256 random bits, so a slower hash would add no protection.
        """
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def matches(self, digest: str | None) -> bool:
        """Whether this is the digest of the secret, compared in constant time.

        Pass None for a key that does not exist: the comparison then takes just as long.
        """
        return hmac.compare_digest(self.digest, digest or _NO_DIGEST)


def is_key_id(key_id: str, *kinds: str) -> bool:
    """Whether the text is the public id of a key of one of these kinds, without a secret."""
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
    """The text with every key in it reduced to its public id."""
    return _KEY_IN_TEXT.sub(r"\1", text)


def public_id(text: str) -> str:
    """The id in the text of a key, with or without its secret. Empty if the text is not a key."""
    key_id = text.partition(".")[0]
    return key_id if _ID.fullmatch(key_id) else ""


def equal_in_constant_time(presented: str, expected: str) -> bool:
    """Compare as bytes, because JSON may contain surrogates that cannot be encoded otherwise."""
    return hmac.compare_digest(
        presented.encode(errors="surrogatepass"), expected.encode(errors="surrogatepass")
    )
