from typing import Protocol

from domain.keys import PlaintextKey


class NewKey(Protocol):
    def __call__(self, kind: str) -> PlaintextKey:
        """Create a key of this kind that nobody can guess."""
        ...
