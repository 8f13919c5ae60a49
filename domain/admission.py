"""Who may join the fleet."""

import hmac

from domain.errors import InvalidRegistrationKey

# Blanks come from a shell or an editor, quotes from files whose reader does not take them off.
_WRAPPING = " \t\r\n\"'"


def admit(configured_key: str | None, given_key: str) -> None:
    """Let everybody in when no key is configured, else only who shows the same one.

    Compares bytes in constant time, so that the time taken does not tell how much of a
    guess was right. Raises InvalidRegistrationKey.
    """
    if configured_key is None:
        return
    if not hmac.compare_digest(_bytes(configured_key), _bytes(given_key)):
        raise InvalidRegistrationKey


def unwrapped(key: str) -> str:
    """The key without what it may have picked up on its way into the settings."""
    return key.strip(_WRAPPING)


def _bytes(key: str) -> bytes:
    # An environment variable may hold bytes that are no UTF-8; Python keeps them as surrogates.
    return key.encode(errors="surrogateescape")
