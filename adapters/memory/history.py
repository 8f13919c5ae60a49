from collections.abc import Sequence

from adapters.memory.tables import Tables
from domain.events import Event
from domain.history import MAX_HISTORY_ENTRIES, HistoryEntry


class MemoryHistory:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, server_id: int) -> Sequence[HistoryEntry]:
        return list(self._entries(server_id))

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            entry = HistoryEntry(event.at, event.kind, event.cause, event.agreeing, event.differing)
            self._save(event.server_id, (*self._entries(event.server_id), entry))

    def move(self, from_server_id: int, to_server_id: int) -> None:
        moved = self._tables.history.pop(from_server_id, ())
        both = sorted((*moved, *self._entries(to_server_id)), key=lambda entry: entry.at)
        self._save(to_server_id, tuple(both))

    def purge(self, server_ids: Sequence[int]) -> None:
        for server_id in server_ids:
            self._tables.history.pop(server_id, None)

    def _entries(self, server_id: int) -> tuple[HistoryEntry, ...]:
        return self._tables.history.get(server_id, ())

    def _save(self, server_id: int, entries: tuple[HistoryEntry, ...]) -> None:
        self._tables.history[server_id] = entries[-MAX_HISTORY_ENTRIES:]
