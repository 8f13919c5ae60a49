from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.dry_run_refusals import DryRunRefusal
from application.ports.store.store import Store


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
            # One more than asked for tells whether there is a next page.
            found = transaction.dry_run_refusals.page(after, size + 1)
        entries = found[:size]
        return DryRunRefusalPage(entries, entries[-1].entry_id if len(found) > size else None)
