from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, or_, select, update

from adapters.sql.tables import conflicts
from domain.conflict import Conflict, ConflictState, Resolution
from domain.errors import ConflictNotFound
from domain.machine_evidence import Evidence, Identity

_COLUMNS = conflicts.c
_UNSETTLED = (ConflictState.SUSPECTED, ConflictState.OPEN)


class SqlConflicts:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, conflict: Conflict) -> Conflict:
        statement = insert(conflicts).returning(_COLUMNS.conflict_id)
        conflict_id = self._connection.execute(statement, _row(conflict)).scalar_one()
        return replace(conflict, conflict_id=conflict_id)

    def get(self, conflict_id: int, *, lock: bool = False) -> Conflict:
        query = select(conflicts).where(_COLUMNS.conflict_id == conflict_id)
        row = self._connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise ConflictNotFound(conflict_id)
        return _conflict(row)

    def of_name(self, name: str) -> Sequence[Conflict]:
        query = select(conflicts).where(_COLUMNS.name == name)
        rows = self._connection.execute(query.order_by(_COLUMNS.conflict_id.desc()))
        return [_conflict(row) for row in rows]

    def save(self, conflict: Conflict) -> None:
        self._connection.execute(
            update(conflicts).where(_COLUMNS.conflict_id == conflict.conflict_id), _row(conflict)
        )

    def page(self, state: ConflictState, after: int, size: int) -> Sequence[Conflict]:
        rows = self._connection.execute(
            select(conflicts)
            .where(_COLUMNS.state == state, _COLUMNS.conflict_id > after)
            .order_by(_COLUMNS.conflict_id)
            .limit(size)
        )
        return [_conflict(row) for row in rows]

    def count(self, state: ConflictState) -> int:
        return self._connection.execute(
            select(func.count()).where(_COLUMNS.state == state)
        ).scalar_one()

    def lapse(self, not_claimed_since: datetime) -> int:
        lapsed = self._connection.execute(
            update(conflicts)
            .where(_COLUMNS.state.in_(_UNSETTLED), _COLUMNS.last_claimed_at < not_claimed_since)
            .values(state=ConflictState.LAPSED)
        )
        return lapsed.rowcount

    def purge(self, not_claimed_since: datetime) -> int:
        is_useless = or_(
            _COLUMNS.state == ConflictState.LAPSED,
            and_(
                _COLUMNS.state == ConflictState.RESOLVED,
                _COLUMNS.resolution != Resolution.RENAME,
            ),
        )
        purged = self._connection.execute(
            delete(conflicts).where(is_useless, _COLUMNS.last_claimed_at < not_claimed_since)
        )
        return purged.rowcount


def _row(conflict: Conflict) -> dict[str, Any]:
    return {
        "server_id": conflict.server_id,
        "name": conflict.name,
        "state": conflict.state,
        "holder": _fields(conflict.holder),
        "holder_last_seen": conflict.holder_last_seen,
        "challenger": _fields(conflict.challenger),
        "opened_at": conflict.opened_at,
        "last_claimed_at": conflict.last_claimed_at,
        "claims": conflict.claims,
        "resolution": conflict.resolution,
        "new_name": conflict.new_name,
        "resolved_at": conflict.resolved_at,
    }


def _conflict(row: Row[Any]) -> Conflict:
    return Conflict(
        conflict_id=row.conflict_id,
        server_id=row.server_id,
        name=row.name,
        state=ConflictState(row.state),
        holder=_identity(row.holder),
        holder_last_seen=row.holder_last_seen,
        challenger=_identity(row.challenger),
        opened_at=row.opened_at,
        last_claimed_at=row.last_claimed_at,
        claims=row.claims,
        resolution=Resolution(row.resolution) if row.resolution else None,
        new_name=row.new_name,
        resolved_at=row.resolved_at,
    )


def _fields(identity: Identity) -> dict[str, Any]:
    at = identity.registered_at
    return {**asdict(identity), "registered_at": at.isoformat() if at else None}


def _identity(fields: dict[str, Any]) -> Identity:
    at = fields["registered_at"]
    return Identity(
        Evidence(**fields["evidence"]),
        fields["machine"],
        fields["address"],
        datetime.fromisoformat(at) if at else None,
    )
