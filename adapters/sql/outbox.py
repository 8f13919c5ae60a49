from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select

from adapters.sql import tables
from adapters.sql.history import SqlHistory
from adapters.sql.statements import Ids, insert_or_replace, is_among, random_uuid
from application.context.trace_context import current_trace_parent
from application.ports.store.outbox import Backlog, RecordedEvent
from domain.events import Event, EventKind
from domain.liveness import Status

_OUTBOX = tables.outbox.c
_LEASE = tables.outbox_lease.c
_SERVERS = tables.servers.c
_ONLY_LEASE_ID = 1

# The database itself adds the columns of the servers: a sweep may have thousands of them.
_ADD = insert(tables.outbox).from_select(
    [
        *("message_id", "kind", "server_id", "occurred_at", "trace_parent", "cause"),
        *("name", "environment", "status", "config_revision"),
    ],
    select(
        random_uuid(),
        bindparam("kind", type_=_OUTBOX.kind.type),
        _SERVERS.server_id,
        bindparam("at", type_=_OUTBOX.occurred_at.type),
        bindparam("trace_parent", type_=_OUTBOX.trace_parent.type),
        bindparam("cause", type_=_OUTBOX.cause.type),
        _SERVERS.name,
        _SERVERS.environment,
        _SERVERS.status,
        _SERVERS.config_revision,
    ).where(is_among(_SERVERS.server_id, bindparam("ids", type_=Ids()))),
)
_REMOVE = delete(tables.outbox).where(is_among(_OUTBOX.entry_id, bindparam("ids", type_=Ids())))


class SqlOutbox:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._history = SqlHistory(connection)

    def add(self, events: Sequence[Event]) -> None:
        trace_parent = current_trace_parent.get()
        for (kind, at, cause), group in groupby(events, key=_shared_fields):
            shared = {"kind": kind, "at": at, "trace_parent": trace_parent, "cause": cause}
            ids = [event.server_id for event in group]
            self._connection.execute(_ADD, {**shared, "ids": ids})
        self._history.add(events)

    def lease(self, holder: str, now: datetime, until: datetime) -> bool:
        statement = insert_or_replace(
            self._connection.dialect.name,
            tables.outbox_lease,
            only_where=or_(_LEASE.holder == holder, _LEASE.held_until <= now),
        )
        result = self._connection.execute(
            statement, {"lease_id": _ONLY_LEASE_ID, "holder": holder, "held_until": until}
        )
        return bool(result.rowcount)

    def release_lease(self, holder: str) -> None:
        self._connection.execute(delete(tables.outbox_lease).where(_LEASE.holder == holder))

    def oldest(self, count: int) -> Sequence[RecordedEvent]:
        rows = self._connection.execute(
            select(tables.outbox).order_by(_OUTBOX.entry_id).limit(count)
        )
        return [
            RecordedEvent(
                entry_id=row.entry_id,
                message_id=row.message_id,
                kind=EventKind(row.kind),
                server_id=row.server_id,
                at=row.occurred_at,
                name=row.name,
                environment=row.environment,
                status=Status(row.status),
                config_revision=row.config_revision,
                trace_parent=row.trace_parent,
                cause=row.cause,
            )
            for row in rows
        ]

    def backlog(self) -> Backlog:
        count, oldest_at = self._connection.execute(
            select(func.count(), func.min(_OUTBOX.occurred_at))
        ).one()
        return Backlog(count, oldest_at)

    def remove(self, entry_ids: Collection[int]) -> None:
        self._connection.execute(_REMOVE, {"ids": entry_ids})


def _shared_fields(event: Event) -> tuple[EventKind, datetime, str]:
    return event.kind, event.at, event.cause
