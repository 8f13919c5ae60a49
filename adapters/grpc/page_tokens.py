"""Where the next page begins, as a text that clients hand back and do not read."""

import base64
import binascii

from domain.errors import InvalidField

_PREFIX = b"after:"


def encode_page_token(next_after: int | None) -> str:
    """Empty after the last page."""
    if next_after is None:
        return ""
    return base64.urlsafe_b64encode(_PREFIX + str(next_after).encode()).decode()


def decode_page_token(token: str) -> int:
    """Zero, before the first server, for an empty token. Raises InvalidField."""
    if not token:
        return 0
    try:
        decoded = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        decoded = b""
    digits = decoded.removeprefix(_PREFIX)
    if decoded == digits or not digits.isdigit() or len(digits) > 18:
        raise InvalidField("page_token", "is none that ListServers gave")
    return int(digits)
