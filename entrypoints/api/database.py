import os

from sqlalchemy import Engine

from adapters.sql.diagnosis import (
    DatabaseUnreachable,
    DatabaseUnusable,
    check_reachable,
    check_schema,
)
from adapters.sql.engine import make_engine, sqlite_file
from adapters.sql.errors import StoreProblem
from adapters.sql.schema import current_revision, newest_revision
from application.ports.store.store import StoreFailed, StoreUnavailable
from entrypoints.failures import CommandFailed, ConfigurationError


def prepare_database(url: str, *, upgrade: bool = False) -> None:
    """Check that the database can be used. An SQLite file is created and upgraded; PostgreSQL is
    upgraded only with `upgrade`, because other APIs may still serve the old schema.

    Raises ConfigurationError and CommandFailed with a sentence that names DATABASE_URL.
    """
    try:
        engine = make_engine(url)
    except ValueError as error:
        raise ConfigurationError.on("DATABASE_URL", error) from None
    try:
        check_reachable(engine)
        if upgrade or sqlite_file(engine.url):
            _upgrade(engine)
        check_schema(engine)
    except DatabaseUnusable as error:
        raise ConfigurationError.on("DATABASE_URL", error) from error
    except DatabaseUnreachable as error:
        raise _unreachable(str(error)) from error
    except (StoreUnavailable, StoreFailed) as error:
        is_known = isinstance(error.__cause__, StoreProblem)
        why = str(error.__cause__) if is_known else "the query for its schema failed"
        raise _unreachable(why) from error
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    if (current_revision(engine) or "") < newest_revision():
        # Alembic is slow to load, and most starts do not need it.
        from adapters.sql.migrations import upgrade_engine

        upgrade_engine(engine)


def _unreachable(problem: str) -> CommandFailed:
    return CommandFailed(
        f"DATABASE_URL: the database cannot be reached: {problem}.", os.EX_UNAVAILABLE
    )
