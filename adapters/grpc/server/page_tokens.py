"""The size of a page, and where the next one begins: a token that clients send back unread."""

import base64
import binascii

from domain.errors import InvalidField
from domain.keys import check_key_id

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
_PREFIX = b"after:"


def page_size(requested: int) -> int:
    """The size to use, the default for 0. Raises InvalidField."""
    if not 0 <= requested <= MAX_PAGE_SIZE:
        raise InvalidField("page_size", f"must be from 0 to {MAX_PAGE_SIZE}")
    return requested or DEFAULT_PAGE_SIZE


def encode_page_token(next_after: int | None) -> str:
    """Empty after the last page."""
    return _encoded(None if next_after is None else str(next_after))


def decode_page_token(token: str) -> int:
    """The id after which the page begins, 0 for an empty token. Raises InvalidField."""
    if not token:
        return 0
    digits = _decoded(token)
    if not digits.isdigit() or len(digits) > 18:
        raise _invalid_token()
    return int(digits)


def encode_key_page_token(next_after: str | None) -> str:
    """The token of a page in the order of key_id, empty after the last page."""
    return _encoded(next_after)


def decode_key_page_token(token: str, *kinds: str) -> str:
    """The key_id, of one of these kinds, after which the page begins; empty for an empty token.
    Raises InvalidField."""
    if not token:
        return ""
    key_id = _decoded(token).decode(errors="replace")
    try:
        check_key_id(key_id, *kinds)
    except InvalidField:
        raise _invalid_token() from None
    return key_id


def _encoded(after: str | None) -> str:
    return "" if after is None else base64.urlsafe_b64encode(_PREFIX + after.encode()).decode()


def _decoded(token: str) -> bytes:
    """The bytes after the prefix, empty if the token is not valid."""
    try:
        decoded = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
    return decoded.removeprefix(_PREFIX) if decoded.startswith(_PREFIX) else b""


def _invalid_token() -> InvalidField:
    return InvalidField("page_token", "is not a valid page token")
