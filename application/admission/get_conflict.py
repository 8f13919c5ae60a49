from dataclasses import dataclass

from application.ports.store.store import Store
from domain.conflict import Conflict


@dataclass(frozen=True)
class GetConflict:
    """One conflict. Raises ConflictNotFound."""

    store: Store

    def __call__(self, conflict_id: int) -> Conflict:
        with self.store.begin() as transaction:
            return transaction.conflicts.get(conflict_id)
