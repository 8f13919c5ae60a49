from collections.abc import Sequence
from typing import Protocol


class RegistrationKeys(Protocol):
    """The shared keys that allow any host to join, as they are now."""

    def __call__(self) -> Sequence[str]:
        """Each key is sufficient. Without any key every host may join."""
        ...
