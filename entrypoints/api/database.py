import os

from adapters.sql.diagnosis import (
    DatabaseUnreachable,
    DatabaseUnusable,
    check_reachable,
    check_schema,
)
from adapters.sql.engine import make_engine, sqlite_file
from adapters.sql.migrations import upgrade_engine
from entrypoints.failures import CommandFailed, ConfigurationError


def prepare_database(url: str, *, upgrade: bool = False) -> None:
    """See that the database can be served: an SQLite file is made and brought up to date,
    PostgreSQL only when `upgrade` asks for it, since there replicas may be serving the old schema.

    Raises ConfigurationError and CommandFailed, with a sentence that names DATABASE_URL.
    """
    engine = make_engine(url)
    try:
        check_reachable(engine)
        if upgrade or sqlite_file(engine.url):
            upgrade_engine(engine)
        check_schema(engine)
    except DatabaseUnusable as error:
        raise ConfigurationError(f"DATABASE_URL: {error}.") from error
    except DatabaseUnreachable as error:
        raise CommandFailed(
            f"DATABASE_URL: the database cannot be reached: {error}.", os.EX_UNAVAILABLE
        ) from error
    finally:
        engine.dispose()
