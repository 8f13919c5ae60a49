from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from adapters.memory.tables import Tables
from domain.conflict import Conflict, ConflictState, Resolution
from domain.errors import ConflictNotFound

_UNSETTLED = (ConflictState.SUSPECTED, ConflictState.OPEN)


class MemoryConflicts:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, conflict: Conflict) -> Conflict:
        self._tables.last_conflict_id += 1
        added = replace(conflict, conflict_id=self._tables.last_conflict_id)
        self._tables.conflicts[added.conflict_id] = added
        return added

    def get(self, conflict_id: int, *, lock: bool = False) -> Conflict:
        try:
            return self._tables.conflicts[conflict_id]
        except KeyError:
            raise ConflictNotFound(conflict_id) from None

    def of_name(self, name: str) -> Sequence[Conflict]:
        newest_first = sorted(self._tables.conflicts.items(), reverse=True)
        return [conflict for _, conflict in newest_first if conflict.name == name]

    def save(self, conflict: Conflict) -> None:
        self._tables.conflicts[conflict.conflict_id] = conflict

    def page(self, state: ConflictState, after: int, size: int) -> Sequence[Conflict]:
        matching = (
            conflict
            for conflict_id, conflict in sorted(self._tables.conflicts.items())
            if conflict_id > after and conflict.state is state
        )
        return list(islice(matching, size))

    def count(self, state: ConflictState) -> int:
        return sum(conflict.state is state for conflict in self._tables.conflicts.values())

    def lapse(self, not_claimed_since: datetime) -> int:
        old = [
            conflict
            for conflict in self._tables.conflicts.values()
            if conflict.state in _UNSETTLED and conflict.last_claimed_at < not_claimed_since
        ]
        for conflict in old:
            self.save(replace(conflict, state=ConflictState.LAPSED))
        return len(old)

    def purge(self, not_claimed_since: datetime) -> int:
        old = [
            conflict.conflict_id
            for conflict in self._tables.conflicts.values()
            if _is_useless(conflict) and conflict.last_claimed_at < not_claimed_since
        ]
        for conflict_id in old:
            del self._tables.conflicts[conflict_id]
        return len(old)


def _is_useless(conflict: Conflict) -> bool:
    return conflict.state is ConflictState.LAPSED or (
        conflict.state is ConflictState.RESOLVED and conflict.resolution is not Resolution.RENAME
    )
