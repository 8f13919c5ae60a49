from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.server import Server


@dataclass(frozen=True, slots=True)
class DeletedServer:
    """A deleted server as it was, and the time until which it can be restored."""

    server: Server
    deleted_at: datetime
    purged_at: datetime
    cause: str


class DeletedServers(Protocol):
    """Deleted servers with everything that was attached to them."""

    def move_to_deleted(
        self, server_ids: Collection[int], now: datetime, purged_at: datetime, cause: str
    ) -> None:
        """Move the servers, with everything attached to them, out of the fleet to here.

        They must exist and be locked.
        """
        ...

    def restore(self, server_id: int, name: str = "") -> Server:
        """Put it back, offline and not the default, under its old name or the given one.

        Raises DeletedServerNotFound and ServerNameTaken.
        """
        ...

    def page(self, after: int, size: int) -> Sequence[DeletedServer]:
        """Up to `size` servers with an id above `after`, by id."""
        ...

    def purge(self, now: datetime, limit: int) -> Collection[int]:
        """Delete up to `limit` servers whose `purged_at` has passed. Returns their ids."""
        ...
