from typing import Protocol


class SigningKeys(Protocol):
    """The key with which every API on this store signs the credentials of hosts."""

    def current(self) -> bytes:
        """32 secret random bytes. The first call ever creates them."""
        ...
