from typing import Protocol

from domain.keys import PlaintextKey


class NewKey(Protocol):
    def __call__(self, kind: str) -> PlaintextKey:
        """A key of this kind that nobody can guess, another one each time."""
        ...
