from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from application.ports.store.access.audit import AuditEntry
from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.bans import Ban
from application.ports.store.configuration.selector_changes import SelectorChange
from application.ports.store.deleted_servers import DeletedServer
from application.ports.store.dry_run_refusals import DryRunRefusal
from application.ports.store.outbox import RecordedEvent
from domain.capabilities import Capabilities
from domain.configuration import Configuration
from domain.conflict import Conflict
from domain.enforcement import Switch
from domain.history import HistoryEntry
from domain.join_key import JoinKey
from domain.machine_evidence import Identity
from domain.operator_key import OperatorKey
from domain.server import Server

K = TypeVar("K")
V = TypeVar("V")


class Table(MutableMapping[K, V], Generic[K, V]):
    """A dictionary of immutable values that records how to undo each write."""

    def __init__(self, undo: list[Callable[[], object]]) -> None:
        self._rows: dict[K, V] = {}
        self._undo = undo

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._record_undo(key)
        self._rows[key] = value

    def __delitem__(self, key: K) -> None:
        self._record_undo(key)
        del self._rows[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _record_undo(self, key: K) -> None:
        rows = self._rows
        if key in rows:
            before = rows[key]
            self._undo.append(lambda: rows.__setitem__(key, before))
        else:
            self._undo.append(lambda: rows.pop(key))


@dataclass(frozen=True, slots=True)
class DeletedRow:
    """A deleted server with everything that belonged to it."""

    deleted: DeletedServer
    equipment: tuple[tuple[datetime, Capabilities], ...]
    configurations: Mapping[str, Configuration]
    identity: Identity | None


class Tables:
    """All tables of the memory mode."""

    def __init__(self) -> None:
        self.undo: list[Callable[[], object]] = []
        self.servers: Table[int, Server] = Table(self.undo)
        self.ids: Table[str, int] = Table(self.undo)
        self.equipment: Table[int, tuple[tuple[datetime, Capabilities], ...]] = Table(self.undo)
        self.configurations: Table[int, Mapping[str, Configuration]] = Table(self.undo)
        # By the text of the selector, and by name.
        self.selector_configurations: Table[tuple[str, str], Configuration] = Table(self.undo)
        self.selector_changes: Table[int, SelectorChange] = Table(self.undo)
        self.identities: Table[int, Identity] = Table(self.undo)
        self.history: Table[int, tuple[HistoryEntry, ...]] = Table(self.undo)
        self.conflicts: Table[int, Conflict] = Table(self.undo)
        self.bans: Table[int, Ban] = Table(self.undo)
        self.deleted_rows: Table[int, DeletedRow] = Table(self.undo)
        self.dry_run_refusals: Table[tuple[Switch, int, str], DryRunRefusal] = Table(self.undo)
        self.audit: Table[int, AuditEntry] = Table(self.undo)
        self.join_keys: Table[str, JoinKey] = Table(self.undo)
        self.join_key_uses: Table[tuple[str, int], JoinKeyUse] = Table(self.undo)
        self.operator_keys: Table[str, OperatorKey] = Table(self.undo)
        self.signing_keys: Table[int, bytes] = Table(self.undo)
        self.outbox: Table[int, RecordedEvent] = Table(self.undo)
        self.lease: Table[str, datetime] = Table(self.undo)
        self.last_entry_id = 0
        self.last_conflict_id = 0
        self.last_dry_run_refusal_id = 0
        self.last_audit_id = 0
        self.last_revision = 0
        # Like a sequence of a database: no id is ever used twice.
        self.last_id = 0
