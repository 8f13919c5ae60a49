"""The schema that a database has, and the one that this version needs.

Determined without Alembic, whose import takes as long as that of the rest of the API.
"""

from pathlib import Path

from sqlalchemy import Engine, column, inspect, select, table

from adapters.sql.errors import translate_errors

_VERSION = table("alembic_version", column("version_num"))


def newest_revision() -> str:
    """The number of the last migration. Migrations form one line, and their files are named by
    their numbers."""
    files = (Path(__file__).parent / "migrations" / "versions").glob("r*.py")
    return max(file.name[1:5] for file in files)


def current_revision(engine: Engine) -> str | None:
    """The revision of the database, None if it is empty. Raises StoreUnavailable, StoreFailed."""
    with translate_errors(), engine.connect() as connection:
        if not inspect(connection).has_table(_VERSION.name):
            return None
        revision: str | None = connection.scalar(select(_VERSION.c.version_num))
        return revision
