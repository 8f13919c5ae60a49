from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from adapters.sql.tables import operator_keys
from domain.errors import OperatorKeyNotFound
from domain.operator_key import OperatorKey
from domain.role import Role

_COLUMNS = operator_keys.c


class SqlOperatorKeys:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: OperatorKey) -> None:
        self._connection.execute(
            insert(operator_keys),
            {
                "key_id": key.key_id,
                "digest": key.digest,
                "name": key.name,
                "role": key.role,
                "created_at": key.created_at,
                "created_by": key.created_by,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
            },
        )

    def get(self, key_id: str) -> OperatorKey:
        query = select(operator_keys).where(_COLUMNS.key_id == key_id)
        row = self._connection.execute(query).one_or_none()
        if row is None:
            raise OperatorKeyNotFound(key_id)
        return _key(row)

    def save(self, key: OperatorKey) -> None:
        self._connection.execute(
            update(operator_keys)
            .where(_COLUMNS.key_id == key.key_id)
            .values(revoked_at=key.revoked_at)
        )

    def page(self, after: str, size: int) -> Sequence[OperatorKey]:
        rows = self._connection.execute(
            select(operator_keys)
            .where(_COLUMNS.key_id > after)
            .order_by(_COLUMNS.key_id)
            .limit(size)
        )
        return [_key(row) for row in rows]

    def any_admin(self) -> bool:
        is_admin = exists().where(_COLUMNS.role == Role.ADMIN)
        return bool(self._connection.execute(select(is_admin)).scalar_one())


def _key(row: Row[Any]) -> OperatorKey:
    return OperatorKey(
        key_id=row.key_id,
        digest=row.digest,
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
