from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from adapters.sql.statements import insert_or_ignore
from adapters.sql.tables import join_key_uses, join_keys
from application.ports.store.access.join_keys import JoinKeyUse
from domain.errors import JoinKeyNotFound
from domain.join_key import JoinKey

_COLUMNS = join_keys.c
_USES = join_key_uses.c


class SqlJoinKeys:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: JoinKey) -> None:
        self._connection.execute(
            insert(join_keys),
            {
                "key_id": key.key_id,
                "digest": key.digest,
                "environment": key.environment,
                "name_pattern": key.name_pattern,
                "labels": dict(key.labels),
                "uses": key.uses,
                "ephemeral": key.ephemeral,
                "pre_approved": key.pre_approved,
                "created_at": key.created_at,
                "created_by": key.created_by,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
            },
        )

    def get(self, key_id: str, *, lock: bool = False) -> JoinKey:
        query = select(join_keys).where(_COLUMNS.key_id == key_id)
        # The weaker lock, so that uses that refer to the key can be added meanwhile.
        locked = query.with_for_update(key_share=True)
        row = self._connection.execute(locked if lock else query).one_or_none()
        if row is None:
            raise JoinKeyNotFound(key_id)
        return _key(row)

    def save(self, key: JoinKey) -> None:
        self._connection.execute(
            update(join_keys).where(_COLUMNS.key_id == key.key_id),
            {"revoked_at": key.revoked_at},
        )

    def page(self, after: str, size: int) -> Sequence[JoinKey]:
        rows = self._connection.execute(
            select(join_keys).where(_COLUMNS.key_id > after).order_by(_COLUMNS.key_id).limit(size)
        )
        return [_key(row) for row in rows]

    def used(self, key_ids: Sequence[str]) -> dict[str, int]:
        rows = self._connection.execute(
            select(_USES.key_id, func.count().label("servers"))
            .where(_USES.key_id.in_(key_ids))
            .group_by(_USES.key_id)
        )
        return {row.key_id: row.servers for row in rows}

    def use(self, key_id: str, server_id: int) -> JoinKeyUse | None:
        row = self._connection.execute(
            select(join_key_uses).where(_USES.key_id == key_id, _USES.server_id == server_id)
        ).one_or_none()
        return _use(row) if row else None

    def record_use(
        self, key_id: str, server_id: int, name: str, address: str, now: datetime
    ) -> None:
        first = {
            "key_id": key_id,
            "server_id": server_id,
            "name": name,
            "address": address,
            "first_at": now,
            "last_at": now,
            "times": 0,
        }
        self._connection.execute(
            insert_or_ignore(self._connection.dialect.name, join_key_uses), first
        )
        self._connection.execute(
            update(join_key_uses)
            .where(_USES.key_id == key_id, _USES.server_id == server_id)
            .values(name=name, address=address, last_at=now, times=_USES.times + 1)
        )

    def uses_of(self, key_id: str, after: int, size: int) -> Sequence[JoinKeyUse]:
        rows = self._connection.execute(
            select(join_key_uses)
            .where(_USES.key_id == key_id, _USES.server_id > after)
            .order_by(_USES.server_id)
            .limit(size)
        )
        return [_use(row) for row in rows]


def _key(row: Row[Any]) -> JoinKey:
    return JoinKey(
        key_id=row.key_id,
        digest=row.digest,
        created_at=row.created_at,
        created_by=row.created_by,
        environment=row.environment,
        name_pattern=row.name_pattern,
        labels=row.labels,
        uses=row.uses,
        expires_at=row.expires_at,
        ephemeral=row.ephemeral,
        pre_approved=row.pre_approved,
        revoked_at=row.revoked_at,
    )


def _use(row: Row[Any]) -> JoinKeyUse:
    return JoinKeyUse(
        key_id=row.key_id,
        server_id=row.server_id,
        name=row.name,
        address=row.address,
        first_at=row.first_at,
        last_at=row.last_at,
        times=row.times,
    )
