from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.conflict import Conflict, ConflictState


class Conflicts(Protocol):
    """Claims to the names of servers. They outlive the servers."""

    def add(self, conflict: Conflict) -> Conflict:
        """The same with the id that it got; the server is locked."""
        ...

    def get(self, conflict_id: int, *, lock: bool = False) -> Conflict:
        """Raises ConflictNotFound."""
        ...

    def of_name(self, name: str) -> Sequence[Conflict]:
        """Every one that is kept of claims to this name, newest first."""
        ...

    def save(self, conflict: Conflict) -> None: ...

    def page(self, state: ConflictState, after: int, size: int) -> Sequence[Conflict]:
        """Up to `size` of this state with an id above `after`, by id."""
        ...

    def count(self, state: ConflictState) -> int: ...

    def lapse(self, not_claimed_since: datetime) -> int:
        """Let those lapse that are open or suspected and were not claimed since; how many."""
        ...

    def purge(self, not_claimed_since: datetime) -> int:
        """Forget those that lapsed, or were resolved but not by a rename, before; how many.

        A renamed challenger claims the old name at each of its starts.
        """
        ...
