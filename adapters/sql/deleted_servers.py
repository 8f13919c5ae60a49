from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Integer,
    Table,
    bindparam,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from adapters.sql import tables
from adapters.sql.server_labels import labels_of_rows
from adapters.sql.servers import SqlServers, server_of, translate_integrity_error
from adapters.sql.statements import Ids, insert_or_replace, is_among
from application.ports.store.deleted_servers import DeletedServer
from domain.errors import DeletedServerNotFound
from domain.labels import NO_LABELS
from domain.liveness import Status
from domain.server import Server

_COLUMNS = tables.deleted_servers.c
_IDS = bindparam("ids", type_=Ids())
_PURGE = delete(tables.deleted_servers).where(is_among(_COLUMNS.server_id, _IDS))
# The tables of a server and of everything that belongs to it, the server first.
_OWNED = (
    tables.servers,
    tables.capabilities,
    tables.capability_history,
    tables.configurations,
    tables.identities,
    tables.labels,
)
# The database assigns a new number on restore; another row may have the old one by then.
_NOT_STORED = frozenset({"entry_id"})

_Record = Mapping[str, Sequence[Mapping[str, Any]]]


class SqlDeletedServers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def move_to_deleted(
        self, server_ids: Collection[int], now: datetime, purged_at: datetime, cause: str
    ) -> None:
        records: dict[int, dict[str, list[dict[str, Any]]]] = {
            server_id: {table.name: [] for table in _OWNED} for server_id in server_ids
        }
        for table in _OWNED:
            owned = select(table).where(is_among(table.c.server_id, _IDS))
            # In the order in which the rows were added, because a history depends on it.
            ordered = owned.order_by(*table.primary_key)
            for row in self._connection.execute(ordered, {"ids": server_ids}):
                records[row.server_id][table.name].append(_as_json(table, row._asdict()))
        move_to_deleted = insert_or_replace(self._connection.dialect.name, tables.deleted_servers)
        for server_id, record in records.items():
            self._connection.execute(
                move_to_deleted,
                {
                    "server_id": server_id,
                    "name": record[tables.servers.name][0]["name"],
                    "deleted_at": now,
                    "purged_at": purged_at,
                    "cause": cause,
                    "record": record,
                },
            )
        self._connection.execute(
            delete(tables.servers).where(is_among(tables.servers.c.server_id, _IDS)),
            {"ids": server_ids},
        )

    def restore(self, server_id: int, name: str = "") -> Server:
        record: _Record | None = self._connection.execute(
            delete(tables.deleted_servers)
            .where(_COLUMNS.server_id == server_id)
            .returning(_COLUMNS.record)
        ).scalar_one_or_none()
        if record is None:
            raise DeletedServerNotFound(server_id)
        [server] = record[tables.servers.name]
        restored = {
            **server,
            "name": name or server["name"],
            "status": Status.OFFLINE,
            "offline_after": None,
            "is_default": False,
        }
        try:
            self._insert(tables.servers, [restored])
        except IntegrityError as error:
            raise translate_integrity_error(error, restored["name"]) from error
        for table in _OWNED[1:]:
            self._insert(table, _rows(record, table))
        return SqlServers(self._connection).get(server_id, lock=True)

    def page(self, after: int, size: int) -> Sequence[DeletedServer]:
        rows = self._connection.execute(
            select(tables.deleted_servers)
            .where(_COLUMNS.server_id > after)
            .order_by(_COLUMNS.server_id)
            .limit(size)
        )
        return [
            DeletedServer(_server(row.record), row.deleted_at, row.purged_at, row.cause)
            for row in rows
        ]

    def purge(self, now: datetime, limit: int) -> Collection[int]:
        overdue = (
            select(_COLUMNS.server_id)
            .where(_COLUMNS.purged_at <= now)
            .order_by(_COLUMNS.purged_at)
            .limit(limit)
            # Another process that purges a server at this moment reports it.
            .with_for_update(skip_locked=True)
        )
        # Not as a subquery of the deletion: PostgreSQL may run that several times, with other
        # results each time.
        ids = list(self._connection.scalars(overdue))
        if ids:
            self._connection.execute(_PURGE, {"ids": ids})
        return ids

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), [_from_json(table, row) for row in rows])


def _as_json(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        column.name: _json_value(row[column.name])
        for column in table.columns
        if column.name not in _NOT_STORED
    }


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _from_json(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    # A column that is newer than the record gets its default.
    return {
        column.name: _column_value(column.type, row[column.name])
        for column in table.columns
        if column.name in row
    }


def _column_value(column_type: Any, value: Any) -> Any:
    is_time = isinstance(column_type, tables.UtcDateTime) and value is not None
    return datetime.fromisoformat(value) if is_time else value


def _rows(record: _Record, table: Table) -> Sequence[Mapping[str, Any]]:
    """The rows of a table; none if the table is newer than the record."""
    return record.get(table.name, ())


def _default(column: Column[Any]) -> Any:
    """The value that the database gives an existing row in a new column."""
    default: Any = column.server_default
    if default is None:
        return None
    text = str(default.arg)
    if isinstance(column.type, Boolean):
        return text == "true"
    return int(text) if isinstance(column.type, Integer) else text


# The servers come last, so that their columns win over others of the same name.
_JOINED = (tables.capabilities, tables.identities, tables.servers)
_DEFAULTS = {column.name: _default(column) for table in _JOINED for column in table.columns}


def _server(record: _Record) -> Server:
    joined = dict(_DEFAULTS)
    for table in _JOINED:
        for row in _rows(record, table):
            joined |= _from_json(table, row)
    row_like: Any = SimpleNamespace(**joined)
    label_rows = [SimpleNamespace(**row) for row in _rows(record, tables.labels)]
    labels = labels_of_rows(label_rows).get(row_like.server_id, NO_LABELS)
    return server_of(row_like, labels)
