from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.dry_run_refusals import DryRunRefusal
from application.ports.store.store import Store
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class DryRunRefusalPage:
    """`next_after` is where the next page begins, None on the last page."""

    entries: Sequence[DryRunRefusal]
    next_after: int | None


@dataclass(frozen=True)
class ListDryRunRefusals:
    """The calls that switches in warn mode would have refused, a page at a time, oldest first."""

    store: Store

    def __call__(self, *, size: int, after: int = 0) -> DryRunRefusalPage:
        with self.store.begin() as transaction:
            rows = transaction.dry_run_refusals.page(after, size + 1)
        entries, next_after = split_page(rows, size, lambda entry: entry.entry_id)
        return DryRunRefusalPage(entries, next_after)
