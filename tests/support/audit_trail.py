"""The audit log of a store, and the use cases that write and read it."""

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.operators.list_audit import ListAudit
from application.operators.record_audit_entry import RecordAuditEntry
from application.ports.store.access.audit import AuditEntry
from domain.operator_key import Operator
from domain.role import Role
from tests.support.builders import NOW
from tests.support.fleet import UnreliableStore

ANN = Operator("ann", Role.OPERATOR, "ok-abcdefgh23", "10.0.0.1")


class AuditTrail:
    def __init__(self) -> None:
        self.store = UnreliableStore(MemoryStore())
        self.clock = MemoryClock(NOW)
        self.record = RecordAuditEntry(self.store, self.clock)
        self.list = ListAudit(self.store)

    def entries(self) -> list[AuditEntry]:
        return list(self.list(size=100).entries)
