from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from adapters.memory.tables import Tables
from application.ports.store.access.audit import AuditEntry


class MemoryAudit:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def append(self, entry: AuditEntry) -> None:
        self._tables.last_audit_id += 1
        entry_id = self._tables.last_audit_id
        self._tables.audit[entry_id] = replace(entry, entry_id=entry_id)

    def page(self, before: int, size: int, server_id: int, actor: str) -> Sequence[AuditEntry]:
        matching = (
            entry
            for entry_id, entry in sorted(self._tables.audit.items(), reverse=True)
            if (not before or entry_id < before)
            and (not server_id or entry.server_id == server_id)
            and (not actor or entry.actor == actor)
        )
        return list(islice(matching, size))

    def purge(self, before: datetime) -> int:
        old = [entry_id for entry_id, entry in self._tables.audit.items() if entry.at < before]
        for entry_id in old:
            del self._tables.audit[entry_id]
        return len(old)
