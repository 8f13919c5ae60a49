"""The shared registration keys, and whether a presented key allows a host to join."""

import hmac
from collections.abc import Iterable, Sequence

from domain.errors import InvalidRegistrationKey
from domain.keys import JOIN_KEY, PlaintextKey

# Spaces come from a shell or an editor; quotes from files whose reader does not remove them.
_WRAPPING = " \t\r\n\"'"


def check_registration_key(
    shared_keys: Sequence[str], presented_key: str, *, key_required: bool = False
) -> PlaintextKey | None:
    """Accept a shared key, and any key if there are no shared keys and none is required.

    A join key is returned: the caller must check whether it exists and which hosts it admits.
    Raises InvalidRegistrationKey.
    """
    if _is_among(shared_keys, presented_key):
        return None
    join_key = PlaintextKey.parse(presented_key, JOIN_KEY)
    if join_key is None and not is_open_registration(shared_keys, key_required=key_required):
        raise InvalidRegistrationKey
    return join_key


def is_open_registration(shared_keys: Sequence[str], *, key_required: bool) -> bool:
    """Whether a host may register without a key."""
    return not shared_keys and not key_required


def stripped_key(key: str) -> str:
    """The key without the spaces and quotes that it may have picked up in a settings file."""
    return key.strip(_WRAPPING)


def _is_among(keys: Iterable[str], presented_key: str) -> bool:
    """Compare with every key, in constant time, so that the duration reveals neither how much of
    a guess was right nor which key it was close to."""
    is_among = False
    for key in keys:
        is_among |= hmac.compare_digest(_bytes(key), _bytes(presented_key))
    return is_among


def _bytes(key: str) -> bytes:
    # JSON may contain surrogates, which no encoding accepts.
    return key.encode(errors="surrogatepass")
