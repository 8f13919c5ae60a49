from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from adapters.sql.statements import insert_or_ignore
from adapters.sql.tables import dry_run_refusals
from application.ports.store.dry_run_refusals import DryRunRefusal
from domain.enforcement import Switch

_COLUMNS = dry_run_refusals.c


class SqlDryRunRefusals:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(self, switch: Switch, server_id: int, name: str, reason: str, now: datetime) -> None:
        key = {"switch": switch, "server_id": server_id, "name": name}
        first = {**key, "reason": reason, "count": 0, "first_at": now, "last_at": now}
        self._connection.execute(
            insert_or_ignore(self._connection.dialect.name, dry_run_refusals), first
        )
        self._connection.execute(
            update(dry_run_refusals)
            .where(
                _COLUMNS.switch == switch, _COLUMNS.server_id == server_id, _COLUMNS.name == name
            )
            .values(count=_COLUMNS.count + 1, reason=reason, last_at=now)
        )

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        rows = self._connection.execute(
            select(dry_run_refusals)
            .where(_COLUMNS.entry_id > after)
            .order_by(_COLUMNS.entry_id)
            .limit(size)
        )
        return [
            DryRunRefusal(
                entry_id=row.entry_id,
                switch=Switch(row.switch),
                server_id=row.server_id,
                name=row.name,
                reason=row.reason,
                count=row._mapping["count"],
                first_at=row.first_at,
                last_at=row.last_at,
            )
            for row in rows
        ]

    def purge(self, not_since: datetime) -> int:
        purged = self._connection.execute(
            delete(dry_run_refusals).where(_COLUMNS.last_at < not_since)
        )
        return purged.rowcount
