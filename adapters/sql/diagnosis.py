"""What keeps a database from being used, in a sentence for the person who configured it."""

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from adapters.sql.engine import sqlite_file, sqlite_file_kind
from adapters.sql.schema import current_revision, newest_revision

# libpq gives no codes for what goes wrong before a connection stands, only words.
_CONNECTION_PROBLEMS = (
    ("password", "the server refuses this user or password"),
    ("does not exist", "the server has no such user or database"),
    ("translate host name", "the host name does not resolve"),
    ("refused", "nothing listens there"),
    ("No such file", "nothing listens there"),
    ("timeout", "it does not answer"),
    ("starting up", "it is starting up: try again"),
    ("shutting down", "it is shutting down"),
    ("too many", "it has no connection left"),
    ("closed the connection", "it closes the connection"),
    ("SSL", "TLS fails with it"),
)


class DatabaseUnreachable(Exception):
    """The message says why."""


class DatabaseUnusable(Exception):
    """It answers, and is not what we need. The message says why and what to do."""


def check_reachable(engine: Engine) -> None:
    """Raises DatabaseUnreachable, or DatabaseUnusable for a file that is no SQLite database."""
    file = sqlite_file(engine.url)
    if file and not file.absolute().parent.is_dir():
        raise DatabaseUnusable(f"the folder {file.absolute().parent} does not exist: create it")
    kind = sqlite_file_kind(file) if file else ""
    if kind:
        raise DatabaseUnusable(f"{file} is {kind}: name a regular file")
    try:
        with engine.connect() as connection:
            healthy = not file or connection.scalar(text("PRAGMA quick_check(1)")) == "ok"
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise _diagnosed(error, str(file) if file else None) from error
    if not healthy:
        raise _damaged(str(file))


def check_schema(engine: Engine) -> None:
    """Raises DatabaseUnusable unless the schema is the one that this version works with.

    Raises StoreUnavailable and StoreFailed too.
    """
    current, newest = current_revision(engine), newest_revision()
    if current is None:
        raise DatabaseUnusable("the database is empty: run `manmanv2 db upgrade` first")
    if current < newest:
        raise DatabaseUnusable(
            f"the database has schema {current}, this version works with {newest}:"
            " run `manmanv2 db upgrade` first"
        )
    if current > newest:
        raise DatabaseUnusable(
            f"the database has schema {current}, this version works with {newest}:"
            " install the version that upgraded it"
        )


def _diagnosed(error: Exception, file: str | None) -> Exception:
    words = str(error)
    if file is None:
        why = next((why for part, why in _CONNECTION_PROBLEMS if part in words), None)
        if why:
            return DatabaseUnreachable(why)
        return DatabaseUnusable("PostgreSQL does not take an option of this URL: mend it")
    if "unable to open" in words or "readonly" in words:
        return DatabaseUnusable(f"{file} cannot be opened for writing: mend its permissions")
    if "locked" in words:
        return DatabaseUnreachable(f"{file} is locked by another process")
    return _damaged(file)


def _damaged(file: str) -> DatabaseUnusable:
    return DatabaseUnusable(
        f"{file} is damaged or is no SQLite database: restore a back-up or name another file"
    )
