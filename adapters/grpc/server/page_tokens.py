"""How long a page is, and where the next one begins, as a text that clients hand back and do
not read."""

import base64
import binascii

from domain.errors import InvalidField
from domain.keys import check_key_id

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
_PREFIX = b"after:"


def page_size(asked_for: int) -> int:
    """The default where 0 is asked for. Raises InvalidField."""
    if not 0 <= asked_for <= MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"must be from 0 to {MAX_PAGE_SIZE}")
    return asked_for or DEFAULT_PAGE_SIZE


def encode_page_token(next_after: int | None) -> str:
    """Empty after the last page."""
    return _encoded(None if next_after is None else str(next_after))


def decode_page_token(token: str) -> int:
    """Zero, before the first, for an empty token. Raises InvalidField."""
    if not token:
        return 0
    digits = _decoded(token)
    if not digits.isdigit() or len(digits) > 18:
        raise _no_token()
    return int(digits)


def encode_key_page_token(next_after: str | None) -> str:
    """The same for pages by key_id."""
    return _encoded(next_after)


def decode_key_page_token(token: str, *kinds: str) -> str:
    """The id of a key of one of these kinds, empty for an empty token. Raises InvalidField."""
    if not token:
        return ""
    key_id = _decoded(token).decode(errors="replace")
    try:
        check_key_id(key_id, *kinds)
    except InvalidField:
        raise _no_token() from None
    return key_id


def _encoded(after: str | None) -> str:
    return "" if after is None else base64.urlsafe_b64encode(_PREFIX + after.encode()).decode()


def _decoded(token: str) -> bytes:
    """What stands behind the prefix, else nothing."""
    try:
        decoded = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
    return decoded.removeprefix(_PREFIX) if decoded.startswith(_PREFIX) else b""


def _no_token() -> InvalidField:
    return InvalidField("page_token", "is none that an earlier page gave")
