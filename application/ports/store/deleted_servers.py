from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.server import Server


@dataclass(frozen=True, slots=True)
class DeletedServer:
    """A server as it was, and until when it can be restored."""

    server: Server
    deleted_at: datetime
    purged_at: datetime
    cause: str


class DeletedServers(Protocol):
    """Servers that were deleted, with all that hung on them."""

    def move_to_deleted(
        self, server_ids: Collection[int], now: datetime, purged_at: datetime, cause: str
    ) -> None:
        """Take the servers and what hangs on them out of the fleet and keep it here.

        They exist and are locked.
        """
        ...

    def restore(self, server_id: int, name: str = "") -> Server:
        """Put it back as it was, offline and not the default, under another name if one is given.

        Raises DeletedServerNotFound and ServerNameTaken.
        """
        ...

    def page(self, after: int, size: int) -> Sequence[DeletedServer]:
        """Up to `size` with an id above `after`, by id."""
        ...

    def purge(self, now: datetime, limit: int) -> Collection[int]:
        """Forget those whose time is over; their ids."""
        ...
