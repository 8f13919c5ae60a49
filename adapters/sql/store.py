from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from adapters.sql.capability_reports import SqlCapabilityReports
from adapters.sql.configurations import SqlConfigurations
from adapters.sql.errors import own_errors
from adapters.sql.outbox import SqlOutbox
from adapters.sql.presences import SqlPresences
from adapters.sql.servers import SqlServers


class SqlTransaction:
    def __init__(self, connection: Connection) -> None:
        self.servers = SqlServers(connection)
        self.presences = SqlPresences(connection)
        self.capability_reports = SqlCapabilityReports(connection)
        self.configurations = SqlConfigurations(connection)
        self.outbox = SqlOutbox(connection)


class SqlStore:
    """Transactions of PostgreSQL (read committed) or SQLite (one writer at a time)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        with own_errors(), self._engine.begin() as connection:
            yield SqlTransaction(connection)
