"""Who may join the fleet."""

import hmac
from collections.abc import Iterable, Sequence

from domain.errors import InvalidRegistrationKey
from domain.keys import JOIN_KEY, PlaintextKey

# Blanks come from a shell or an editor, quotes from files whose reader does not take them off.
_WRAPPING = " \t\r\n\"'"


def check_registration_key(
    shared_keys: Sequence[str], given_key: str, *, key_required: bool = False
) -> PlaintextKey | None:
    """Let in who shows one of the shared keys, and everybody where there is none and no key is
    required.

    A join key is returned: whether it is known, and whom it admits, is for the caller to find
    out. Raises InvalidRegistrationKey.
    """
    if _is_among(shared_keys, given_key):
        return None
    shown = PlaintextKey.parse(given_key, JOIN_KEY)
    if shown is None and not is_open_registration(shared_keys, key_required=key_required):
        raise InvalidRegistrationKey
    return shown


def is_open_registration(shared_keys: Sequence[str], *, key_required: bool) -> bool:
    """Whether also those who show no key are let in."""
    return not shared_keys and not key_required


def stripped_key(key: str) -> str:
    """The key without what it may have picked up on its way into the settings."""
    return key.strip(_WRAPPING)


def _is_among(keys: Iterable[str], given_key: str) -> bool:
    """Compares bytes in constant time, and with every key, so that the time taken tells neither
    how much of a guess was right nor of which key."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(_bytes(key), _bytes(given_key))
    return found


def _bytes(key: str) -> bytes:
    # JSON may hold halves of a character, which no encoding has.
    return key.encode(errors="surrogatepass")
