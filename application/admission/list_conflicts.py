from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.conflict import Conflict, ConflictState
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class ConflictPage:
    """`next_after` is where the next page begins, None on the last page."""

    conflicts: Sequence[Conflict]
    next_after: int | None


@dataclass(frozen=True)
class ListConflicts:
    """The conflicts of one state, a page at a time, by conflict_id."""

    store: Store

    def __call__(
        self, *, size: int, after: int = 0, state: ConflictState = ConflictState.OPEN
    ) -> ConflictPage:
        with self.store.begin() as transaction:
            rows = transaction.conflicts.page(state, after, size + 1)
        conflicts, next_after = split_page(rows, size, lambda conflict: conflict.conflict_id)
        return ConflictPage(conflicts, next_after)
