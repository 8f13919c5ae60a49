from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from domain.conflict import Conflict, ConflictState


class Conflicts(Protocol):
    """Conflicting claims to the names of servers. They outlive the servers."""

    def add(self, conflict: Conflict) -> Conflict:
        """Returns the conflict with its new id. The server must be locked."""
        ...

    def get(self, conflict_id: int, *, lock: bool = False) -> Conflict:
        """Raises ConflictNotFound."""
        ...

    def of_name(self, name: str) -> Sequence[Conflict]:
        """All stored conflicts about this name, newest first."""
        ...

    def save(self, conflict: Conflict) -> None: ...

    def page(self, state: ConflictState, after: int, size: int) -> Sequence[Conflict]:
        """Up to `size` conflicts of this state with an id above `after`, by id."""
        ...

    def count(self, state: ConflictState) -> int: ...

    def lapse(self, not_claimed_since: datetime) -> int:
        """Mark open and suspected conflicts without a claim since then as lapsed.

        Returns how many.
        """
        ...

    def purge(self, not_claimed_since: datetime) -> int:
        """Delete conflicts without a claim since then that lapsed or were resolved.

        Returns how many. Renames are kept, because a renamed challenger claims the old name at
        each of its starts.
        """
        ...
