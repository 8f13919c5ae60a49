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

# Statements are made once: to build one anew costs as much as to run it.
_IDS = bindparam("ids", type_=Ids())
_LOOK = select(*_KNOWN).where(is_among(_COLUMNS.server_id, _IDS))
_LOCK = _LOOK.order_by(_COLUMNS.server_id).with_for_update(key_share=True)
# What to write comes with the parameters, named as the columns.
_SET = update(tables.servers).where(is_among(_COLUMNS.server_id, _IDS))
_TOLD = (
    func.unnest(_IDS, bindparam("epochs", type_=Ids()))
    .table_valued("server_id", "epoch", name="told")
    .render_derived()
)
_BEFORE = (
    select(*_KNOWN)
    .join_from(tables.servers, _TOLD, _COLUMNS.server_id == _TOLD.c.server_id)
    .where(
        or_(_TOLD.c.epoch == 0, _TOLD.c.epoch >= _COLUMNS.epoch),
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
# In the same order as by a batch of heartbeats, so that the two never deadlock; who spoke while
# the sweep waited for the lock is skipped.
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
        return _known(self._connection.execute(_LOOK, {"ids": server_ids}).all())

    def set(
        self, epochs: Mapping[int, int], presence: Presence, *, include_refused: bool = False
    ) -> Mapping[int, Known]:
        if not epochs:
            return {}
        written = {
            "status": presence.status,
            "last_seen": presence.last_seen,
            "offline_after": presence.offline_after,
            "heard_via": presence.via,
        }
        if self._connection.dialect.name == "sqlite":
            # It returns no columns but those of the table that it updates, as they are now.
            known = {
                server_id: server
                for server_id, server in self.lock(epochs.keys()).items()
                if server.accepts(epochs[server_id], include_refused=include_refused)
            }
            self._connection.execute(_SET, {"ids": known.keys(), **written})
            return known
        told = {"ids": epochs.keys(), "epochs": epochs.values(), "include_refused": include_refused}
        return _known(self._connection.execute(_LOCK_AND_SET, {**told, **written}).all())

    def expire(self, now: datetime, unheard_transports: Collection[str] = ()) -> Collection[int]:
        silent = {"now": now, "unheard_transports": list(unheard_transports)}
        expired = list(self._connection.scalars(_LOCK_SILENT, silent))
        if expired:
            gone = {"ids": expired, "status": Status.OFFLINE, "offline_after": None}
            self._connection.execute(_SET, gone)
        return expired

    def count_online(self) -> int:
        return self._connection.execute(
            select(func.count()).where(_COLUMNS.status == Status.ONLINE)
        ).scalar_one()


def _known(rows: Iterable[Sequence[Any]]) -> Mapping[int, Known]:
    # By place: by name costs three times as much, and there are hundreds a batch.
    return {row[0]: Known(_STATUSES[row[1]], row[2], row[3], _APPROVALS[row[4]]) for row in rows}
