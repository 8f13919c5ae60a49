from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import Store
from domain.errors import InvalidField
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`next_before` is where the next page begins, None on the last page."""

    entries: Sequence[AuditEntry]
    next_before: int | None


@dataclass(frozen=True)
class ListAudit:
    """The audit entries, a page at a time, newest first. Raises InvalidField.

    `server_id` 0 means all servers; an empty `actor` means all operators.
    """

    store: Store

    def __call__(
        self, *, size: int, before: int = 0, server_id: int = 0, actor: str = ""
    ) -> AuditPage:
        if not actor.isprintable():
            raise InvalidField("actor", "contains a character that is not printable")
        with self.store.begin() as transaction:
            rows = transaction.audit.page(before, size + 1, server_id, actor)
        entries, next_before = split_page(rows, size, lambda entry: entry.entry_id)
        return AuditPage(entries, next_before)
