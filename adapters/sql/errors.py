"""The one table that turns errors of a driver into those of the application."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from application.ports.store.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

# Problems that a person must fix, by the code of SQLite or PostgreSQL.
_PROBLEMS: dict[int | str, str] = {
    sqlite3.SQLITE_FULL: "the disk of the SQLite file is full: free some space",
    sqlite3.SQLITE_IOERR: "the disk of the SQLite file fails: see the system log",
    sqlite3.SQLITE_READONLY: "the SQLite file is not writable: check its permissions and its disk",
    sqlite3.SQLITE_CANTOPEN: (
        "the SQLite file cannot be opened: check its permissions and its disk"
    ),
    "53100": "the disk of PostgreSQL is full: free some space",
}
_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_SQLITE_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_DAMAGED = "the SQLite file is damaged or is not an SQLite database: restore a backup"
# Classes of PostgreSQL: 08 connection, 40 rolled back (deadlock), 53 out of resources,
# 55 not available (lock), 57 operator intervention (shutdown, starting up). 23505 is a race for
# a unique value; 25006 is a server that has just become a standby.
_POSTGRES_TRANSIENT = ("08", "40", "53", "55", "57", "23505", "25006")


class StoreProblem(Exception):
    """Why the store is not available, if a person must fix it. The message follows "DATABASE_URL: "
    in the log and on the command line."""


@contextmanager
def translate_errors() -> Iterator[None]:
    try:
        yield
    except StoreProblem as error:
        raise StoreUnavailable from error
    except exc.TimeoutError as error:  # from the pool: every connection is in use
        raise StoreUnavailable from error
    except exc.SQLAlchemyError as error:
        _redact_values(error)
        code = _code(error)
        if code in _PROBLEMS:
            raise StoreUnavailable from StoreProblem(_PROBLEMS[code])
        if _is_transient(error, code):
            raise StoreUnavailable from error
        # Logged here, once, however many callers wait for the transaction.
        if code in _SQLITE_DAMAGED:
            _log.error("the store failed: DATABASE_URL: %s", _DAMAGED)
        else:
            _log.error("the store failed", exc_info=error)
        raise StoreFailed from error


def _redact_values(error: exc.SQLAlchemyError) -> None:
    """Keep the first line only: PostgreSQL quotes the row or the statement in the others, and
    errors are logged."""
    for each in (error, getattr(error, "orig", None)):
        if each and each.args:
            each.args = (str(each.args[0]).partition("\n")[0],)


def _code(error: exc.SQLAlchemyError) -> int | str | None:
    """The code of PostgreSQL, or the primary code of SQLite without its extension."""
    driver_error = getattr(error, "orig", None)
    if isinstance(driver_error, sqlite3.Error):
        return getattr(driver_error, "sqlite_errorcode", 0) & 0xFF
    code: str | None = getattr(driver_error, "pgcode", None)
    return code


def _is_transient(error: exc.SQLAlchemyError, code: int | str | None) -> bool:
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if code is None:
        # The server did not answer.
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return code.startswith(_POSTGRES_TRANSIENT) if isinstance(code, str) else code in _SQLITE_BUSY
