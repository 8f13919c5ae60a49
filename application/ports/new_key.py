from typing import Protocol

from domain.keys import ShownKey


class NewKey(Protocol):
    def __call__(self, kind: str) -> ShownKey:
        """A key of this kind that nobody can guess, another one each time."""
        ...
