from collections.abc import Sequence
from typing import Protocol

from domain.history import HistoryEntry


class History(Protocol):
    """What happened to servers: the outbox adds each event to it. It outlives the servers."""

    def of(self, server_id: int) -> Sequence[HistoryEntry]:
        """Oldest first, at most MAX_HISTORY_ENTRIES."""
        ...

    def move(self, from_server_id: int, to_server_id: int) -> None:
        """Make one server's history part of another's, in the order of their times."""
        ...

    def purge(self, server_ids: Sequence[int]) -> None:
        """Forget what happened to servers that are gone for good."""
        ...
