import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import islice

from adapters.memory.history import MemoryHistory
from adapters.memory.tables import Tables
from application.context.trace_context import current_trace_parent
from application.ports.store.outbox import Backlog, RecordedEvent
from domain.events import Event


class MemoryOutbox:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._history = MemoryHistory(tables)

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            server = self._tables.servers[event.server_id]
            self._tables.last_entry_id += 1
            self._tables.outbox[self._tables.last_entry_id] = RecordedEvent(
                entry_id=self._tables.last_entry_id,
                message_id=str(uuid.uuid4()),
                kind=event.kind,
                server_id=event.server_id,
                at=event.at,
                name=server.name,
                environment=server.environment,
                status=server.presence.status,
                config_revision=server.config_revision,
                trace_parent=current_trace_parent.get(),
                cause=event.cause,
            )
        self._history.add(events)

    def lease(self, holder: str, now: datetime, until: datetime) -> bool:
        lease = self._tables.lease
        if any(other != holder and expiry > now for other, expiry in lease.items()):
            return False
        lease.clear()
        lease[holder] = until
        return True

    def release_lease(self, holder: str) -> None:
        self._tables.lease.pop(holder, None)

    def oldest(self, count: int) -> Sequence[RecordedEvent]:
        # Sorted, because undoing a removal puts its event behind all others.
        return list(islice((event for _, event in sorted(self._tables.outbox.items())), count))

    def backlog(self) -> Backlog:
        times = [event.at for event in self._tables.outbox.values()]
        return Backlog(len(times), min(times, default=None))

    def remove(self, entry_ids: Collection[int]) -> None:
        for entry_id in entry_ids:
            self._tables.outbox.pop(entry_id, None)
