from typing import Protocol


class SigningKeys(Protocol):
    """What the credentials of hosts are signed with, by every API on this store."""

    def current(self) -> bytes:
        """32 random bytes that nobody else has. Whoever asks first makes them."""
        ...
