from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Connection, and_, delete, or_, select

from adapters.sql.statements import insert_or_replace
from adapters.sql.tables import bans
from application.ports.store.bans import Ban
from domain.machine_evidence import KINDS, Evidence

_COLUMNS = bans.c


class SqlBans:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, ban: Ban) -> None:
        self._connection.execute(
            insert_or_replace(self._connection.dialect.name, bans),
            {
                "server_id": ban.server_id,
                "name": ban.name,
                **asdict(ban.evidence),
                "reason": ban.reason,
                "banned_at": ban.at,
            },
        )

    def resembling(self, evidence: Evidence) -> Sequence[Ban]:
        same = [
            and_(_COLUMNS[kind] == getattr(evidence, kind), _COLUMNS[kind] != "") for kind in KINDS
        ]
        rows = self._connection.execute(
            select(bans).where(or_(*same)).order_by(_COLUMNS.banned_at, _COLUMNS.server_id)
        )
        return [
            Ban(
                server_id=row.server_id,
                name=row.name,
                evidence=Evidence(
                    machine_id=row.machine_id,
                    hardware_id=row.hardware_id,
                    engine_id=row.engine_id,
                    boot_id=row.boot_id,
                    instance_id=row.instance_id,
                ),
                reason=row.reason,
                at=row.banned_at,
            )
            for row in rows
        ]

    def remove(self, server_id: int) -> bool:
        removed = self._connection.execute(delete(bans).where(_COLUMNS.server_id == server_id))
        return bool(removed.rowcount)
