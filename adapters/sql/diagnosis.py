"""Why a database cannot be used, in a sentence for the person who configured it."""

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.sql.engine import sqlite_file, sqlite_file_kind
from adapters.sql.schema import current_revision, newest_revision
from application.ports.diagnosis import DiagnosedError

# Before a connection is established, libpq reports errors as texts without codes.
_CONNECTION_PROBLEMS = (
    ("password", "the server refuses this user or password"),
    ("does not exist", "the server has no such user or database"),
    ("translate host name", "the host name does not resolve"),
    ("refused", "nothing listens there"),
    ("No such file", "nothing listens there"),
    ("timeout", "the server does not answer"),
    ("starting up", "the server is starting up: try again"),
    ("shutting down", "the server is shutting down"),
    ("too many", "the server has no connection left"),
    ("closed the connection", "the server closes the connection"),
    ("SSL", "TLS with the server fails"),
)


class DatabaseUnreachable(Exception):
    """The message says why."""


class DatabaseUnusable(DiagnosedError):
    """The database answers, but cannot be used. The message says why and what to do."""


def check_reachable(engine: Engine) -> None:
    """Raises DatabaseUnreachable, or DatabaseUnusable for a file that is not an SQLite database."""
    file = sqlite_file(engine.url)
    if file and not file.absolute().parent.is_dir():
        raise DatabaseUnusable(
            f"the directory {file.absolute().parent} does not exist", "create it"
        )
    kind = sqlite_file_kind(file) if file else ""
    if kind:
        raise DatabaseUnusable(f"{file} is {kind}", "name a regular file")
    try:
        with engine.connect() as connection:
            healthy = not file or connection.scalar(text("PRAGMA quick_check(1)")) == "ok"
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise _diagnosed(error, str(file) if file else None) from error
    if not healthy:
        raise _damaged(str(file))


def check_schema(engine: Engine) -> None:
    """Raises DatabaseUnusable unless the schema is the one that this version needs.

    Also raises StoreUnavailable and StoreFailed.
    """
    current, newest = current_revision(engine), newest_revision()
    if current is None:
        raise DatabaseUnusable("the database is empty", "run `manmanv2 db upgrade` first")
    if current < newest:
        raise DatabaseUnusable(
            f"the database has schema {current}, this version works with {newest}",
            "run `manmanv2 db upgrade` first",
        )
    if current > newest:
        raise DatabaseUnusable(
            f"the database has schema {current}, this version works with {newest}",
            "install the version that upgraded it",
        )


def _diagnosed(error: Exception, file: str | None) -> Exception:
    text = str(error)
    if file is None:
        problem = next((problem for part, problem in _CONNECTION_PROBLEMS if part in text), None)
        if problem:
            return DatabaseUnreachable(problem)
        return DatabaseUnusable("PostgreSQL does not accept an option of this URL", "correct it")
    if "unable to open" in text or "readonly" in text:
        return DatabaseUnusable(f"{file} cannot be opened for writing", "check its permissions")
    if "locked" in text:
        return DatabaseUnreachable(f"{file} is locked by another process")
    return _damaged(file)


def _damaged(file: str) -> DatabaseUnusable:
    return DatabaseUnusable(
        f"{file} is damaged or is not an SQLite database", "restore a backup or name another file"
    )
