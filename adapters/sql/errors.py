"""The one table from what a driver says to what the application understands."""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from application.ports.store import StoreFailed, StoreUnavailable

_log = logging.getLogger(__name__)

_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# PostgreSQL's classes: 08 connection, 40 rolled back (deadlock), 53 out of resources,
# 55 not available (lock), 57 operator intervention (shutdown, starting up); 23505 is a race
# for something unique; 25006 is a server that has just become a standby.
_POSTGRES_PASSING = ("08", "40", "53", "55", "57", "23505", "25006")


@contextmanager
def own_errors() -> Iterator[None]:
    try:
        yield
    except exc.TimeoutError as error:  # the pool's: every connection is taken
        raise StoreUnavailable from error
    except exc.SQLAlchemyError as error:
        _forget_values(error)
        if isinstance(error, exc.DBAPIError) and _passes(error):
            raise StoreUnavailable from error
        # Told here, once, however many callers wait for the transaction.
        _log.error("the store failed", exc_info=error)
        raise StoreFailed from error


def _forget_values(error: exc.SQLAlchemyError) -> None:
    """Behind the first line PostgreSQL quotes the row or the statement, and errors end in logs."""
    for told in (error, getattr(error, "orig", None)):
        if told and told.args:
            told.args = (str(told.args[0]).partition("\n")[0],)


def _passes(error: exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        # An extended code holds the primary one in its low byte.
        return (error.orig.sqlite_errorcode & 0xFF) in _SQLITE_BUSY
    code: str | None = getattr(error.orig, "pgcode", None)
    if code is None:
        # No code: the server never answered.
        return isinstance(error, exc.OperationalError | exc.InterfaceError)
    return code.startswith(_POSTGRES_PASSING)
