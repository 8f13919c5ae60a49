import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.memory.capability_reports import MemoryCapabilityReports
from adapters.memory.configurations import MemoryConfigurations
from adapters.memory.outbox import MemoryOutbox
from adapters.memory.presences import MemoryPresences
from adapters.memory.servers import MemoryServers
from adapters.memory.tables import Tables


class MemoryTransaction:
    def __init__(self, tables: Tables) -> None:
        self.servers = MemoryServers(tables)
        self.presences = MemoryPresences(tables)
        self.capability_reports = MemoryCapabilityReports(tables)
        self.configurations = MemoryConfigurations(tables)
        self.outbox = MemoryOutbox(tables)


class MemoryStore:
    """Transactions run one after the other; one that raises is undone."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._tables = Tables()

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        with self._one_at_a_time:
            undo = self._tables.undo
            undo.clear()
            try:
                yield MemoryTransaction(self._tables)
            except BaseException:
                while undo:
                    undo.pop()()
                raise
