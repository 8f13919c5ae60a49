"""Identifiers of a machine, and what of them others may know."""

import hmac
from hashlib import sha256

DIGEST_LENGTH = 32

# No secret: it keeps our digests apart from those of other programs, so that nobody recognises
# a machine by comparing ours with theirs.
_APPLICATION_KEY = bytes.fromhex("5b1c3f0f7c8e4a52a6c4d6f3e0a92d71")

_HEXADECIMAL = frozenset("0123456789abcdef")
# What makers of boards leave in the place of an id; many machines share each of them.
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
# All zeros, all F, FEFE…: of 128 bits nobody draws so few digits.
_FEWEST_DIGITS = 3


def identifier_in(content: str) -> str:
    """The 128 bits of a machine-id or UUID, as 32 hexadecimal digits in small letters.

    Empty for whatever else it is, and for what stands in the place of an id on many machines.
    """
    digits = content.strip().lower().replace("-", "")
    if len(digits) != 32 or not _HEXADECIMAL.issuperset(digits):
        return ""
    if len(set(digits)) < _FEWEST_DIGITS or digits in _PLACEHOLDERS:
        return ""
    return digits


def digest(kind: str, identifier: str) -> str:
    """DIGEST_LENGTH hexadecimal digits, from which an identifier of 128 bits cannot be told.

    The same identifier as another kind is another digest. An empty one has an empty digest.
    """
    if not identifier:
        return ""
    # A keyed hash, as sd_id128_get_machine_app_specific(3) has it. The length keeps kind and
    # identifier apart: what is moved from the one to the other is another message.
    message = f"{len(kind)}:{kind}{identifier}".encode("utf-8", "surrogatepass")
    return hmac.digest(_APPLICATION_KEY, message, sha256).hex()[:DIGEST_LENGTH]
