from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.join_key import JoinKey
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class UsedJoinKey:
    """A key, and how many servers have joined with it."""

    key: JoinKey
    used: int


@dataclass(frozen=True, slots=True)
class JoinKeyPage:
    """`next_after` is where the next page begins, None on the last page."""

    keys: Sequence[UsedJoinKey]
    next_after: str | None


@dataclass(frozen=True)
class ListJoinKeys:
    """The join keys, a page at a time, by key_id."""

    store: Store

    def __call__(self, *, size: int, after: str = "") -> JoinKeyPage:
        with self.store.begin() as transaction:
            rows = transaction.join_keys.page(after, size + 1)
            keys, next_after = split_page(rows, size, lambda key: key.key_id)
            used = transaction.join_keys.used([key.key_id for key in keys])
        return JoinKeyPage([UsedJoinKey(key, used.get(key.key_id, 0)) for key in keys], next_after)
