from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.operator_key import OperatorKey
from domain.paging import split_page


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
            rows = transaction.operator_keys.page(after, size + 1)
        keys, next_after = split_page(rows, size, lambda key: key.key_id)
        return OperatorKeyPage(keys, next_after)
