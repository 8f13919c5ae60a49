from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.deleted_servers import DeletedServer
from application.ports.store.store import Store
from domain.paging import split_page


@dataclass(frozen=True, slots=True)
class DeletedServerPage:
    """`next_after` is where the next page begins, None on the last page."""

    servers: Sequence[DeletedServer]
    next_after: int | None


@dataclass(frozen=True)
class ListDeletedServers:
    """The servers that can be restored, a page at a time, by server_id."""

    store: Store

    def __call__(self, *, size: int, after: int = 0) -> DeletedServerPage:
        with self.store.begin() as transaction:
            rows = transaction.deleted_servers.page(after, size + 1)
        servers, next_after = split_page(rows, size, lambda deleted: deleted.server.server_id)
        return DeletedServerPage(servers, next_after)
