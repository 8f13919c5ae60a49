from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.operator_key import OperatorKey


@dataclass(frozen=True, slots=True)
class OperatorKeyPage:
    """`next_after` is where the next page begins, None on the last page."""

    keys: Sequence[OperatorKey]
    next_after: str | None


@dataclass(frozen=True)
class ListOperatorKeys:
    """The operator keys, a page at a time, by key_id."""

    store: Store

    def __call__(self, *, size: int, after: str = "") -> OperatorKeyPage:
        with self.store.begin() as transaction:
            # One more than asked for tells whether there is a next page.
            found = transaction.operator_keys.page(after, size + 1)
        keys = found[:size]
        return OperatorKeyPage(keys, keys[-1].key_id if len(found) > size else None)
