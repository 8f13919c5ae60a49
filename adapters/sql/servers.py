from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from adapters.sql import tables
from adapters.sql.capability_reports import capabilities_of
from adapters.sql.statements import insert_or_ignore
from application.ports.servers import ServerFilter
from domain.errors import ServerNameTaken, ServerNotFound
from domain.liveness import Presence, Status
from domain.server import Server

# Any number that no other software takes on the same database.
_MOVE_OF_THE_DEFAULT = 0x6D616E6E
_NAME_IS_TAKEN = ("uq_servers_name", "servers.name")  # PostgreSQL's words, SQLite's words


class SqlServers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_or_add(self, name: str) -> Server:
        # Looked for first, because an insert that meets a conflict uses up an id.
        # The loop ends when nobody deletes the server between our insert and our look.
        while True:
            found = self._one(_LOCKED.where(tables.servers.c.name == name))
            if found:
                return found
            self._connection.execute(
                insert_or_ignore(self._connection.dialect.name, tables.servers).values(name=name)
            )

    def add(self, name: str, environment: str) -> Server:
        statement = insert(tables.servers).returning(tables.servers.c.server_id)
        try:
            server_id = self._connection.execute(
                statement, {"name": name, "environment": environment}
            ).scalar_one()
        except IntegrityError as error:
            raise _understood(error, name) from error
        return Server(server_id, name, environment)

    def get(self, server_id: int, *, lock: bool = False) -> Server:
        query = _LOCKED if lock else _SERVERS
        found = self._one(query.where(tables.servers.c.server_id == server_id))
        if found is None:
            raise ServerNotFound(server_id)
        return found

    def lock_with_default(self, server_id: int) -> Server:
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(_MOVE_OF_THE_DEFAULT)))
        columns = tables.servers.c
        rows = self._connection.execute(
            _LOCKED.where(or_(columns.server_id == server_id, columns.is_default)).order_by(
                columns.server_id
            )
        ).all()
        for row in rows:
            if row.server_id == server_id:
                return _server(row)
        raise ServerNotFound(server_id)

    def save(self, server: Server) -> None:
        if server.is_default:
            self._connection.execute(
                update(tables.servers)
                .where(tables.servers.c.is_default, tables.servers.c.server_id != server.server_id)
                .values(is_default=False)
            )
        try:
            self._connection.execute(
                update(tables.servers).where(tables.servers.c.server_id == server.server_id),
                {
                    "name": server.name,
                    "environment": server.environment,
                    "status": server.presence.status,
                    "last_seen": server.presence.last_seen,
                    "offline_after": server.presence.offline_after,
                    "heard_via": server.presence.via,
                    "is_default": server.is_default,
                    "config_revision": server.config_revision,
                },
            )
        except IntegrityError as error:
            raise _understood(error, server.name) from error

    def page(self, matching: ServerFilter, after: int, size: int) -> Sequence[Server]:
        columns = tables.servers.c
        query = _SERVERS.where(columns.server_id > after).order_by(columns.server_id).limit(size)
        if matching.environment is not None:
            query = query.where(columns.environment == matching.environment)
        if matching.status is not None:
            query = query.where(columns.status == matching.status)
        if matching.not_seen_since is not None:
            query = query.where(
                or_(columns.last_seen.is_(None), columns.last_seen < matching.not_seen_since)
            )
        return [_server(row) for row in self._connection.execute(query)]

    def census(self) -> Mapping[tuple[Status, str], int]:
        columns = tables.servers.c
        rows = self._connection.execute(
            select(columns.status, columns.environment, func.count()).group_by(
                columns.status, columns.environment
            )
        )
        return {(Status(status), environment): count for status, environment, count in rows}

    def remove(self, server_id: int) -> None:
        removed = self._connection.execute(
            delete(tables.servers).where(tables.servers.c.server_id == server_id)
        )
        if not removed.rowcount:
            raise ServerNotFound(server_id)

    def _one(self, query: Select[Any]) -> Server | None:
        row = self._connection.execute(query).one_or_none()
        return _server(row) if row else None


_SERVERS: Select[Any] = select(
    tables.servers,
    *(column for column in tables.capabilities.c if column.name != "server_id"),
).join_from(tables.servers, tables.capabilities, isouter=True)

# The weaker lock, so that rows which refer to the server can be added meanwhile.
_LOCKED: Select[Any] = _SERVERS.with_for_update(key_share=True, of=tables.servers)


def _server(row: Row[Any]) -> Server:
    return Server(
        server_id=row.server_id,
        name=row.name,
        environment=row.environment,
        presence=Presence(Status(row.status), row.last_seen, row.offline_after, row.heard_via),
        is_default=row.is_default,
        capabilities=capabilities_of(row) if row.total_memory_mb is not None else None,
        config_revision=row.config_revision,
    )


def _understood(error: IntegrityError, name: str) -> Exception:
    if any(words in str(error.orig) for words in _NAME_IS_TAKEN):
        return ServerNameTaken(name)
    return error
