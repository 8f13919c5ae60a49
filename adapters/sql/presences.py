from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Connection, bindparam, func, or_, select, update

from adapters.sql import tables
from adapters.sql.statements import Ids, is_among
from application.ports.store.presences import Known
from domain.approval import Approval
from domain.liveness import Presence, Status

_COLUMNS = tables.servers.c
_STATUSES = {status.value: status for status in Status}
_APPROVALS = {approval.value: approval for approval in Approval}
_KNOWN = (
    _COLUMNS.server_id,
    _COLUMNS.status,
    _COLUMNS.config_revision,
    _COLUMNS.epoch,
    _COLUMNS.approval,
)

# Statements are built once: building one costs as much as running it.
_IDS = bindparam("ids", type_=Ids())
_READ = select(*_KNOWN).where(is_among(_COLUMNS.server_id, _IDS))
_LOCK = _READ.order_by(_COLUMNS.server_id).with_for_update(key_share=True)
# The new values are parameters named like the columns.
_SET = update(tables.servers).where(is_among(_COLUMNS.server_id, _IDS))
_REPORTED = (
    func.unnest(_IDS, bindparam("epochs", type_=Ids()))
    .table_valued("server_id", "epoch", name="reported")
    .render_derived()
)
_BEFORE = (
    select(*_KNOWN)
    .join_from(tables.servers, _REPORTED, _COLUMNS.server_id == _REPORTED.c.server_id)
    .where(
        or_(_REPORTED.c.epoch == 0, _REPORTED.c.epoch >= _COLUMNS.epoch),
        or_(
            bindparam("include_refused", type_=Boolean()),
            *(_COLUMNS.approval == approval for approval in Approval if approval.admits),
        ),
    )
    .order_by(_COLUMNS.server_id)
    .with_for_update(key_share=True, of=tables.servers)
    .subquery("before")
)
_LOCK_AND_SET = (
    update(tables.servers).where(_COLUMNS.server_id == _BEFORE.c.server_id).returning(*_BEFORE.c)
)
# Locked in the same order as by a batch of heartbeats, so that the two never deadlock. A server
# whose heartbeat arrived while the sweep waited for the lock is skipped.
_LOCK_SILENT = (
    select(_COLUMNS.server_id)
    .where(
        _COLUMNS.status == Status.ONLINE,
        _COLUMNS.offline_after < bindparam("now"),
        _COLUMNS.heard_via.not_in(bindparam("unheard_transports", expanding=True)),
    )
    .order_by(_COLUMNS.server_id)
    .with_for_update(key_share=True)
)


class SqlPresences:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        return _known(self._connection.execute(_LOCK, {"ids": server_ids}).all())

    def known(self, server_ids: Collection[int]) -> Mapping[int, Known]:
        return _known(self._connection.execute(_READ, {"ids": server_ids}).all())

    def set(
        self, epochs: Mapping[int, int], presence: Presence, *, include_refused: bool = False
    ) -> Mapping[int, Known]:
        if not epochs:
            return {}
        values = {
            "status": presence.status,
            "last_seen": presence.last_seen,
            "offline_after": presence.offline_after,
            "heard_via": presence.via,
        }
        if self._connection.dialect.name == "sqlite":
            # SQLite returns only columns of the updated table, with their new values.
            known = {
                server_id: server
                for server_id, server in self.lock(epochs.keys()).items()
                if server.accepts(epochs[server_id], include_refused=include_refused)
            }
            self._connection.execute(_SET, {"ids": known.keys(), **values})
            return known
        reported = {
            "ids": epochs.keys(),
            "epochs": epochs.values(),
            "include_refused": include_refused,
        }
        return _known(self._connection.execute(_LOCK_AND_SET, {**reported, **values}).all())

    def expire(self, now: datetime, unheard_transports: Collection[str] = ()) -> Collection[int]:
        silent = {"now": now, "unheard_transports": list(unheard_transports)}
        expired = list(self._connection.scalars(_LOCK_SILENT, silent))
        if expired:
            offline = {"ids": expired, "status": Status.OFFLINE, "offline_after": None}
            self._connection.execute(_SET, offline)
        return expired

    def count_online(self) -> int:
        return self._connection.execute(
            select(func.count()).where(_COLUMNS.status == Status.ONLINE)
        ).scalar_one()


def _known(rows: Iterable[Sequence[Any]]) -> Mapping[int, Known]:
    # By position: access by name costs three times as much, and a batch has hundreds of rows.
    return {row[0]: Known(_STATUSES[row[1]], row[2], row[3], _APPROVALS[row[4]]) for row in rows}
