from collections.abc import Sequence
from typing import Protocol

from domain.history import HistoryEntry


class History(Protocol):
    """The history of servers. The outbox adds each event to it. It outlives the servers."""

    def of(self, server_id: int) -> Sequence[HistoryEntry]:
        """The entries of a server, oldest first, at most MAX_HISTORY_ENTRIES."""
        ...

    def move(self, from_server_id: int, to_server_id: int) -> None:
        """Merge one server's history into another's, in the order of time."""
        ...

    def purge(self, server_ids: Sequence[int]) -> None:
        """Delete the history of servers that are deleted for good."""
        ...
