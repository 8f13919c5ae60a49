from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from adapters.sql.tables import audit
from application.ports.store.access.audit import AuditEntry

_COLUMNS = audit.c


class SqlAudit:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def append(self, entry: AuditEntry) -> None:
        row = asdict(entry)
        del row["entry_id"]
        self._connection.execute(insert(audit), row)

    def page(self, before: int, size: int, server_id: int, actor: str) -> Sequence[AuditEntry]:
        query = select(audit).order_by(_COLUMNS.entry_id.desc()).limit(size)
        if before:
            query = query.where(_COLUMNS.entry_id < before)
        if server_id:
            query = query.where(_COLUMNS.server_id == server_id)
        if actor:
            query = query.where(_COLUMNS.actor == actor)
        return [AuditEntry(**row._mapping) for row in self._connection.execute(query)]

    def purge(self, before: datetime) -> int:
        purged = self._connection.execute(delete(audit).where(_COLUMNS.at < before))
        return purged.rowcount
