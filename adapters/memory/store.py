import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adapters.memory.audit import MemoryAudit
from adapters.memory.bans import MemoryBans
from adapters.memory.capability_reports import MemoryCapabilityReports
from adapters.memory.configuration_clock import MemoryConfigurationClock
from adapters.memory.configurations import MemoryConfigurations
from adapters.memory.conflicts import MemoryConflicts
from adapters.memory.deleted_servers import MemoryDeletedServers
from adapters.memory.dry_run_refusals import MemoryWouldRejects
from adapters.memory.history import MemoryHistory
from adapters.memory.identities import MemoryIdentities
from adapters.memory.join_keys import MemoryJoinKeys
from adapters.memory.operator_keys import MemoryOperatorKeys
from adapters.memory.outbox import MemoryOutbox
from adapters.memory.presences import MemoryPresences
from adapters.memory.selector_changes import MemorySelectorChanges
from adapters.memory.selector_configurations import MemorySelectorConfigurations
from adapters.memory.server_labels import MemoryServerLabels
from adapters.memory.servers import MemoryServers
from adapters.memory.signing_keys import MemorySigningKeys
from adapters.memory.tables import Tables


class MemoryTransaction:
    def __init__(self, tables: Tables) -> None:
        self.servers = MemoryServers(tables)
        self.presences = MemoryPresences(tables)
        self.capability_reports = MemoryCapabilityReports(tables)
        self.configurations = MemoryConfigurations(tables)
        self.selector_configurations = MemorySelectorConfigurations(tables)
        self.selector_changes = MemorySelectorChanges(tables)
        self.configuration_clock = MemoryConfigurationClock(tables)
        self.outbox = MemoryOutbox(tables)
        self.identities = MemoryIdentities(tables)
        self.labels = MemoryServerLabels(tables)
        self.conflicts = MemoryConflicts(tables)
        self.bans = MemoryBans(tables)
        self.deleted_servers = MemoryDeletedServers(tables)
        self.history = MemoryHistory(tables)
        self.would_rejects = MemoryWouldRejects(tables)
        self.operator_keys = MemoryOperatorKeys(tables)
        self.join_keys = MemoryJoinKeys(tables)
        self.signing_keys = MemorySigningKeys(tables)
        self.audit = MemoryAudit(tables)


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
