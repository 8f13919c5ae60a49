"""The migrations of the schema, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text

from adapters.sql import tables
from adapters.sql.engine import make_engine
from adapters.sql.errors import translate_errors

# Any number that no other software uses on the same database: the first bytes of "manmanv2".
_ADVISORY_LOCK = 0x6D616E6D


def upgrade(url: str) -> None:
    """Upgrade the database to the newest schema. Concurrent upgrades wait for each other.

    Raises StoreUnavailable and StoreFailed.
    """
    engine = make_engine(url)
    try:
        upgrade_engine(engine)
    finally:
        engine.dispose()


def upgrade_engine(engine: Engine) -> None:
    with translate_errors(), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        command.upgrade(alembic_config(connection), "head")


def differences(engine: Engine) -> list[object]:
    """The differences between the tables in the code and those in the database."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config
