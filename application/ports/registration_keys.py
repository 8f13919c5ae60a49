from collections.abc import Sequence
from typing import Protocol


class RegistrationKeys(Protocol):
    """The shared keys that let any host join, as they are at this moment."""

    def __call__(self) -> Sequence[str]:
        """Each is enough by itself; none at all lets everybody join."""
        ...
