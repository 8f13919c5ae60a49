import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from adapters.memory.audit import MemoryAudit
from adapters.memory.bans import MemoryBans
from adapters.memory.capability_reports import MemoryCapabilityReports
from adapters.memory.configuration_clock import MemoryConfigurationClock
from adapters.memory.configurations import MemoryConfigurations
from adapters.memory.conflicts import MemoryConflicts
from adapters.memory.deleted_servers import MemoryDeletedServers
from adapters.memory.dry_run_refusals import MemoryDryRunRefusals
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

R = TypeVar("R")


class _Repository(Generic[R]):
    """Attribute of a transaction: a repository that is built when it is first read."""

    def __init__(self, build: Callable[[Tables], R]) -> None:
        self._build = build

    def __set_name__(self, owner: type[object], name: str) -> None:
        self._name = name

    def __get__(self, transaction: "MemoryTransaction", owner: type[object]) -> R:
        repository = self._build(transaction.tables)
        # From now on the attribute hides this descriptor.
        transaction.__dict__[self._name] = repository
        return repository


class MemoryTransaction:
    servers = _Repository(MemoryServers)
    presences = _Repository(MemoryPresences)
    capability_reports = _Repository(MemoryCapabilityReports)
    configurations = _Repository(MemoryConfigurations)
    selector_configurations = _Repository(MemorySelectorConfigurations)
    selector_changes = _Repository(MemorySelectorChanges)
    configuration_clock = _Repository(MemoryConfigurationClock)
    outbox = _Repository(MemoryOutbox)
    identities = _Repository(MemoryIdentities)
    labels = _Repository(MemoryServerLabels)
    conflicts = _Repository(MemoryConflicts)
    bans = _Repository(MemoryBans)
    deleted_servers = _Repository(MemoryDeletedServers)
    history = _Repository(MemoryHistory)
    dry_run_refusals = _Repository(MemoryDryRunRefusals)
    operator_keys = _Repository(MemoryOperatorKeys)
    join_keys = _Repository(MemoryJoinKeys)
    signing_keys = _Repository(MemorySigningKeys)
    audit = _Repository(MemoryAudit)

    def __init__(self, tables: Tables) -> None:
        self.tables = tables


class MemoryStore:
    """Transactions run one after another; one that raises is undone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables = Tables()

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        with self._lock:
            undo = self._tables.undo
            undo.clear()
            try:
                yield MemoryTransaction(self._tables)
            except BaseException:
                while undo:
                    undo.pop()()
                raise
