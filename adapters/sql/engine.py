import sqlite3
import time
from math import inf
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from adapters.sql.errors import StoreProblem
from adapters.sql.postgres_connection import PostgresConnection
from application.context.request_id import current_request_id
from domain.file_kind import other_kind

_CONNECT_TIMEOUT_SECONDS = 5
# A row that another client has locked must not delay the heartbeats of the whole fleet, and no
# statement of ours takes long.
_OPTIONS = "-c lock_timeout=3s -c statement_timeout=20s"
# For so long after its last use a connection is assumed to be alive.
_FRESH_SECONDS = 1.0
_USED_AT = "used_at"
_SQLITE_BUSY_TIMEOUT_MS = 10_000


def sql_url(url: str) -> URL:
    """The URL in the form that SQLAlchemy needs; `postgres://` and `postgresql://` mean psycopg2.

    Raises ValueError with a sentence that does not repeat the URL, which may contain a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("is not a database URL") from None
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg2"):
        return parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("names no file, for example sqlite:///manmanv2.sqlite3")
        if parsed.host or parsed.query or "\0" in parsed.database:
            raise ValueError("must be sqlite:///FILE, with only the path of the file")
        return parsed
    raise ValueError("must begin with postgresql:// or sqlite:///, or be memory://")


def make_engine(url: str, connections: int = 1) -> Engine:
    """An engine that opens up to `connections` connections, when they are needed.

    Raises ValueError with a sentence that does not repeat the URL.
    """
    parsed = sql_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, connections)
    try:
        return _postgres_engine(parsed, connections)
    except ArgumentError:
        raise ValueError("has options that contradict each other") from None


def _postgres_engine(url: URL, connections: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        connect_args={
            "connection_factory": PostgresConnection,
            "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            "keepalives_idle": 30,
            "application_name": "manmanv2",
            "options": _OPTIONS,
        },
        # Values may be secrets, and errors are logged.
        hide_parameters=True,
    )

    @event.listens_for(engine, "checkin")
    def _record_use(_: Any, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _check_liveness(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        # A connection that was lost while idle is replaced before it can fail a call, and so are
        # all others.
        if time.monotonic() - record.info.get(_USED_AT, inf) < _FRESH_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error:
            raise InvalidatePoolError from None

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _name_the_request(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        # Visible in the log of PostgreSQL and in pg_stat_activity. A request id cannot end the
        # comment: see request_id_or_new.
        request_id = current_request_id.get()
        return f"{statement} /* request_id={request_id} */" if request_id else statement, parameters

    return engine


def _sqlite_engine(url: URL, connections: int) -> Engine:
    engine = create_engine(url, pool_size=connections, max_overflow=0, hide_parameters=True)
    file = _OpenFile(Path(url.database or ""))

    # Before each connection, which would create a missing file, and before each use of one.
    @event.listens_for(engine, "do_connect")
    @event.listens_for(engine, "checkout")
    def _check_file(*_: Any) -> None:
        file.check()

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        file.opened()
        # Turns the transactions of the driver off; `_begin` below starts them instead.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_SQLITE_BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode, NORMAL may lose the last commits in a power failure; but what we acknowledge
        # must be durable.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # A transaction that begins as a reader and then writes would fail at once if there is
        # another writer; one that begins as a writer waits for its turn.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


class _OpenFile:
    """The SQLite file, identified by its inode.

    SQLite itself reports READONLY_DBMOVED when its file was moved, but not in WAL mode: it would go
    on with a file that was removed or moved away, and after the next start everything that was
    acknowledged since would be missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode: int | None = None

    def opened(self) -> None:
        self._inode = self._inode or self._current_inode()

    def check(self) -> None:
        """Raises StoreProblem."""
        if not self._inode:
            kind = sqlite_file_kind(self._path)
            if kind:
                raise StoreProblem(f"{self._path} is {kind}: name a regular file")
        elif self._current_inode() != self._inode:
            raise StoreProblem(
                f"{self._path} was removed or replaced while it was in use: put it back, or"
                " restart this process"
            )

    def _current_inode(self) -> int | None:
        try:
            return self._path.stat().st_ino
        except OSError:
            return None


def sqlite_file_kind(path: Path) -> str:
    """What is at the path instead of a regular file, for example "a directory"; else empty.

    SQLite would write to a device, and leave its journal beside it.
    """
    try:
        return other_kind(path.stat().st_mode)
    except OSError:
        return ""


def sqlite_file(url: URL) -> Path | None:
    """The file that the URL names; None for another database."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None
