"""The one table from what a driver says to what the application understands."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from application.ports.store.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

# What a person has to mend, in SQLite's codes and PostgreSQL's.
_NEEDS: dict[int | str, str] = {
    sqlite3.SQLITE_FULL: "the disk of the SQLite file is full: make room on it",
    sqlite3.SQLITE_IOERR: "the disk of the SQLite file fails: see the machine's log",
    sqlite3.SQLITE_READONLY: "the SQLite file cannot be written: mend its permissions or its disk",
    sqlite3.SQLITE_CANTOPEN: "the SQLite file cannot be opened: mend its permissions or its disk",
    "53100": "the disk of PostgreSQL is full: make room on it",
}
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_DAMAGED = "the SQLite file is damaged or is no SQLite database: restore a back-up"
# PostgreSQL's classes: 08 connection, 40 rolled back (deadlock), 53 out of resources,
# 55 not available (lock), 57 operator intervention (shutdown, starting up); 23505 is a race
# for something unique; 25006 is a server that has just become a standby.
_POSTGRES_PASSING = ("08", "40", "53", "55", "57", "23505", "25006")


class StoreProblem(Exception):
    """Why the store is not available, where a person has to mend it; for the log and the command
    line, behind "DATABASE_URL: "."""


@contextmanager
def translate_errors() -> Iterator[None]:
    try:
        yield
    except StoreProblem as error:
        raise StoreUnavailable from error
    except exc.TimeoutError as error:  # the pool's: every connection is taken
        raise StoreUnavailable from error
    except exc.SQLAlchemyError as error:
        _forget_values(error)
        code = _code(error)
        if code in _NEEDS:
            raise StoreUnavailable from StoreProblem(_NEEDS[code])
        if _passes(error, code):
            raise StoreUnavailable from error
        # Told here, once, however many callers wait for the transaction.
        if code in _SQLITE_DAMAGED:
            _log.error("the store failed: DATABASE_URL: %s", _DAMAGED)
        else:
            _log.error("the store failed", exc_info=error)
        raise StoreFailed from error


def _forget_values(error: exc.SQLAlchemyError) -> None:
    """Behind the first line PostgreSQL quotes the row or the statement, and errors end in logs."""
    for told in (error, getattr(error, "orig", None)):
        if told and told.args:
            told.args = (str(told.args[0]).partition("\n")[0],)


def _code(error: exc.SQLAlchemyError) -> int | str | None:
    """SQLite's primary one, without what extends it, or PostgreSQL's."""
    driver_error = getattr(error, "orig", None)
    if isinstance(driver_error, sqlite3.Error):
        return getattr(driver_error, "sqlite_errorcode", 0) & 0xFF
    code: str | None = getattr(driver_error, "pgcode", None)
    return code


def _passes(error: exc.SQLAlchemyError, code: int | str | None) -> bool:
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if code is None:
        # The server never answered.
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return code.startswith(_POSTGRES_PASSING) if isinstance(code, str) else code in _SQLITE_BUSY
