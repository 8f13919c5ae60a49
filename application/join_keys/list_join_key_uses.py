from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.store import Store
from domain.keys import JOIN_KEY, check_key_id
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class JoinKeyUsePage:
    """`next_after` is where the next page begins, None on the last page."""

    uses: Sequence[JoinKeyUse]
    next_after: int | None


@dataclass(frozen=True)
class ListJoinKeyUses:
    """The servers that joined with a key, a page at a time, by server_id. Raises InvalidField and
    JoinKeyNotFound."""

    store: Store

    def __call__(self, key_id: str, *, size: int, after: int = 0) -> JoinKeyUsePage:
        check_key_id(key_id, JOIN_KEY)
        with self.store.begin() as transaction:
            transaction.join_keys.get(key_id)
            rows = transaction.join_keys.uses_of(key_id, after, size + 1)
        uses, next_after = split_page(rows, size, lambda use: use.server_id)
        return JoinKeyUsePage(uses, next_after)
