import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from adapters.memory.store import MemoryStore
from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from adapters.sql.tables import configuration_clock, metadata
from application.ports.store.store import Store
from tests.support.services.postgres import PostgresServer

CONNECTIONS = 16


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the current schema, to copy from."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server: PostgresServer, migrated_template: str) -> str:
    """One database for all of these tests: to empty it is quicker than to make another."""
    return postgres_server.create_database(migrated_template)


def empty(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            # Its one row is there from the beginning.
            is_clock = table is configuration_clock
            connection.execute(update(table).values(revision=0) if is_clock else delete(table))
    engine.dispose()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens a store on data that begin empty, every time one more on the same data.

    In memory there is only one; of the others each is what another process would have.
    """
    if request.param == "memory":
        store = MemoryStore()
        yield lambda: store
        return
    if request.param == "sqlite":
        file = tmp_path / "fleet.sqlite3"
        shutil.copy(request.getfixturevalue("migrated_sqlite_file"), file)
        url = f"sqlite:///{file}"
    else:
        url = request.getfixturevalue("migrated_postgres_url")
    with ExitStack() as engines:

        def open_another() -> Store:
            engine = make_engine(url, CONNECTIONS)
            engines.callback(engine.dispose)
            return SqlStore(engine)

        yield open_another
        if request.param == "postgresql":
            empty(url)


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()
