from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from adapters.sql import tables
from adapters.sql.statements import is_among
from application.ports.presences import Known
from domain.liveness import Presence, Status

_COLUMNS = tables.servers.c


class SqlPresences:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        rows = self._connection.execute(
            select(_COLUMNS.server_id, _COLUMNS.status, _COLUMNS.config_revision)
            .where(is_among(self._connection, _COLUMNS.server_id, server_ids))
            .order_by(_COLUMNS.server_id)
            .with_for_update(key_share=True)
        )
        return {
            server_id: Known(Status(status), config_revision)
            for server_id, status, config_revision in rows
        }

    def set(self, server_ids: Collection[int], presence: Presence) -> None:
        if not server_ids:
            return
        self._connection.execute(
            update(tables.servers).where(
                is_among(self._connection, _COLUMNS.server_id, server_ids)
            ),
            {
                "status": presence.status,
                "last_seen": presence.last_seen,
                "offline_after": presence.offline_after,
            },
        )

    def expire(self, now: datetime) -> Collection[int]:
        silent = (_COLUMNS.status == Status.ONLINE) & (_COLUMNS.offline_after < now)
        # Locked in the order of the ids, as by a batch of heartbeats, so that the two never
        # deadlock; who spoke while we waited for the lock is skipped.
        expired = list(
            self._connection.scalars(
                select(_COLUMNS.server_id)
                .where(silent)
                .order_by(_COLUMNS.server_id)
                .with_for_update(key_share=True)
            )
        )
        if expired:
            self._connection.execute(
                update(tables.servers).where(
                    is_among(self._connection, _COLUMNS.server_id, expired)
                ),
                {"status": Status.OFFLINE, "offline_after": None},
            )
        return expired

    def count_online(self) -> int:
        return self._connection.execute(
            select(func.count()).where(_COLUMNS.status == Status.ONLINE)
        ).scalar_one()
