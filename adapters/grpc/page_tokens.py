"""How long a page is, and where the next one begins, as a text that clients hand back and do
not read."""

import base64
import binascii

from domain.errors import InvalidField

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 100
_PREFIX = b"after:"


def page_size(asked_for: int) -> int:
    """The default where 0 is asked for. Raises InvalidField."""
    if not 0 <= asked_for <= LARGEST_PAGE_SIZE:
        raise InvalidField("page_size", f"must be from 0 to {LARGEST_PAGE_SIZE}")
    return asked_for or DEFAULT_PAGE_SIZE


def encode_page_token(next_after: int | None) -> str:
    """Empty after the last page."""
    if next_after is None:
        return ""
    return base64.urlsafe_b64encode(_PREFIX + str(next_after).encode()).decode()


def decode_page_token(token: str) -> int:
    """Zero, before the first, for an empty token. Raises InvalidField."""
    if not token:
        return 0
    try:
        decoded = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        decoded = b""
    digits = decoded.removeprefix(_PREFIX)
    if decoded == digits or not digits.isdigit() or len(digits) > 18:
        raise InvalidField("page_token", "is none that an earlier page gave")
    return int(digits)
