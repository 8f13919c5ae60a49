"""Identifiers of a machine, and the digests of them that leave the machine."""

import hmac
from hashlib import sha256

DIGEST_LENGTH = 32

# This is not a secret. It makes our digests differ from those of other programs, so that nobody
# can recognise a machine by comparing the two.
_APPLICATION_KEY = bytes.fromhex("5b1c3f0f7c8e4a52a6c4d6f3e0a92d71")

_HEXADECIMAL = frozenset("0123456789abcdef")
# Values that board makers leave in place of an id; each of them is shared by many machines.
_PLACEHOLDERS = frozenset(
    placeholder.replace("-", "")
    for placeholder in (
        "03000200-0400-0500-0006-000700080009",
        "00020003-0004-0005-0006-000700080009",
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "01020304-0506-0708-090a-0b0c0d0e0f10",
        "03020100-0504-0706-0809-0a0b0c0d0e0f",
        "11111111-2222-3333-4444-555555555555",
        "12345678-1234-5678-1234-567812345678",
        "12345678-1234-5678-90ab-cddeefaabbcc",
        "4c4c4544-0000-2010-8020-80c04f202020",
        "deadbeef-dead-beef-dead-beefdeadbeef",
    )
)
# Excludes all zeros, all F, FEFE…: 128 random bits never have so few distinct digits.
_MIN_DISTINCT_DIGITS = 3


def identifier_in(content: str) -> str:
    """The 128 bits of a machine-id or UUID, as 32 lower-case hexadecimal digits.

    Empty if the content is anything else, or a placeholder that many machines share.
    """
    digits = content.strip().lower().replace("-", "")
    if len(digits) != 32 or not _HEXADECIMAL.issuperset(digits):
        return ""
    if len(set(digits)) < _MIN_DISTINCT_DIGITS or digits in _PLACEHOLDERS:
        return ""
    return digits


def digest(kind: str, identifier: str) -> str:
    """DIGEST_LENGTH hexadecimal digits that do not reveal an identifier of 128 bits.

    The same identifier has a different digest for each kind. The digest of an empty one is empty.
    """
    if not identifier:
        return ""
    # A keyed hash, as in sd_id128_get_machine_app_specific(3). The length separates kind and
    # identifier, so that moving a character from one to the other gives another message.
    message = f"{len(kind)}:{kind}{identifier}".encode("utf-8", "surrogatepass")
    return hmac.digest(_APPLICATION_KEY, message, sha256).hex()[:DIGEST_LENGTH]
