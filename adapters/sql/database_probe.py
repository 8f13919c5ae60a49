import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.pool import NullPool

from adapters.sql.diagnosis import (
    DatabaseUnreachable,
    DatabaseUnusable,
    check_reachable,
    check_schema,
)
from adapters.sql.engine import make_engine, sql_url, sqlite_file
from adapters.sql.schema import current_revision, newest_revision
from application.ports.diagnosis import diagnosis_of
from application.ports.probes.database_probe import DatabaseUnavailable, DatabaseUnfit
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.clock_reading import ClockReading


@dataclass(frozen=True)
class SqlDatabaseProbe:
    """Examines the database that a URL names. An SQLite file is neither created nor changed."""

    url: str = field(repr=False)

    def describe(self) -> str:
        with _translate_errors():
            file = sqlite_file(sql_url(self.url))
            return _examine_file(self.url, file) if file else _examine_server(self.url)

    def read_clock(self) -> ClockReading | None:
        with _translate_errors():
            if sqlite_file(sql_url(self.url)):
                return None
            with _disposed(make_engine(self.url)) as engine, engine.connect() as connection:
                before = datetime.now(UTC)
                theirs = connection.scalar(select(func.clock_timestamp()))
                assert theirs
                return ClockReading(before, theirs, datetime.now(UTC))


def _examine_server(url: str) -> str:
    with _disposed(make_engine(url)) as engine:
        check_reachable(engine)
        check_schema(engine)
        with engine.connect() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar()
    return f"PostgreSQL {version} answers, with schema {newest_revision()}"


def _examine_file(url: str, file: Path) -> str:
    path = file.absolute()
    try:
        can_be_created = not path.exists() and path.parent.is_dir()
    except OSError:
        raise _not_writable(file) from None
    if can_be_created:
        if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
            raise _not_writable(file)
        return f"{file} does not exist yet, manmanv2-api creates it"
    with _disposed(_reading_engine(url, path)) as engine:
        check_reachable(engine)
        # SQLite writes its log to the same directory.
        if not all(os.access(each, os.W_OK, effective_ids=True) for each in (path, path.parent)):
            raise _not_writable(file)
        current = current_revision(engine)
        if current is None or current < newest_revision():
            return (
                f"{file} has schema {current or 'none'}, manmanv2-api upgrades it to"
                f" {newest_revision()}"
            )
        check_schema(engine)
    return f"{file} is usable, with schema {current}"


def _not_writable(file: Path) -> DatabaseUnusable:
    return DatabaseUnusable(f"{file} cannot be opened for writing", "check its permissions")


def _reading_engine(url: str, path: Path) -> Engine:
    # A file that no process has open is declared immutable: otherwise even a reader would leave two
    # files beside it, which the user of the API might not be able to write.
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    return create_engine(
        sql_url(url),
        creator=lambda: sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True),
        poolclass=NullPool,
    )


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (DatabaseUnusable, ValueError) as error:
        raise DatabaseUnfit.of(diagnosis_of(error).after("DATABASE_URL: ")) from error
    except DatabaseUnreachable as error:
        raise _unavailable(str(error)) from error
    except (StoreUnavailable, StoreFailed) as error:
        raise _unavailable("the query for its schema failed") from error


def _unavailable(problem: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"DATABASE_URL: the database cannot be reached: {problem}",
        "check that it runs and admits this machine",
        separator="; ",
    )
