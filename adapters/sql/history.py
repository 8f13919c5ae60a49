from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, tuple_

from adapters.sql.statements import Ids, is_among
from adapters.sql.tables import history, servers
from domain.events import Event, EventKind
from domain.history import MAX_HISTORY_ENTRIES, HistoryEntry

_COLUMNS = history.c
_IDS = bindparam("ids", type_=Ids())
_earlier = history.alias("earlier")
_LAST_NO = (
    select(func.max(_earlier.c.entry_no))
    .where(_earlier.c.server_id == servers.c.server_id)
    .scalar_subquery()
)
# PostgreSQL plans a statement for the size that the table has at that time. While it believes the
# table to be small, it reads all of it for each server, even after the statement itself has made
# the table large.
_BATCH_SIZE = 1000
_EVENT_FIELDS = ("at", "kind", "cause", "agreeing", "differing")
# One statement for all servers with the same event: a sweep may have thousands of them.
_ADD = insert(history).from_select(
    ["server_id", "entry_no", *_EVENT_FIELDS],
    select(
        servers.c.server_id,
        func.coalesce(_LAST_NO, 0) + 1,
        *(bindparam(name, type_=_COLUMNS[name].type) for name in _EVENT_FIELDS),
    ).where(is_among(servers.c.server_id, _IDS)),
)
# Each new entry makes at most one old entry superfluous. Counting the entries of a server would
# cost as much as reading them all.
_REMOVE_OLDEST = delete(history).where(
    tuple_(_COLUMNS.server_id, _COLUMNS.entry_no).in_(
        select(servers.c.server_id, _LAST_NO - MAX_HISTORY_ENTRIES).where(
            is_among(servers.c.server_id, _IDS)
        )
    )
)
_PURGE = delete(history).where(is_among(_COLUMNS.server_id, _IDS))


class SqlHistory:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, server_id: int) -> Sequence[HistoryEntry]:
        rows = self._connection.execute(
            select(history).where(_COLUMNS.server_id == server_id).order_by(_COLUMNS.entry_no)
        )
        return [
            HistoryEntry(
                row.at,
                EventKind(row.kind),
                row.cause,
                tuple(filter(None, row.agreeing.split(","))),
                tuple(filter(None, row.differing.split(","))),
            )
            for row in rows
        ]

    def add(self, events: Sequence[Event]) -> None:
        """Each of these servers must exist and be locked."""
        for fields, group in groupby(events, key=_fields):
            ids = [event.server_id for event in group]
            for start in range(0, len(ids), _BATCH_SIZE):
                batch = ids[start : start + _BATCH_SIZE]
                self._connection.execute(_ADD, {**fields, "ids": batch})
                self._connection.execute(_REMOVE_OLDEST, {"ids": batch})

    def move(self, from_server_id: int, to_server_id: int) -> None:
        moved, own = self.of(from_server_id), self.of(to_server_id)
        both = sorted((*moved, *own), key=lambda entry: entry.at)[-MAX_HISTORY_ENTRIES:]
        self.purge([from_server_id, to_server_id])
        if both:
            rows = [
                {"server_id": to_server_id, "entry_no": number, **_fields(entry)}
                for number, entry in enumerate(both, start=1)
            ]
            self._connection.execute(insert(history), rows)

    def purge(self, server_ids: Sequence[int]) -> None:
        self._connection.execute(_PURGE, {"ids": server_ids})


def _fields(event: Event | HistoryEntry) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        "cause": event.cause,
        "agreeing": ",".join(event.agreeing),
        "differing": ",".join(event.differing),
    }
