import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine

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


@pytest.fixture(scope="session")
def postgres_engines(migrated_postgres_url: str) -> Iterator[Callable[[int], Engine]]:
    """The engine of the first process, of the second, ... on that database.

    They outlive a test: to connect takes a process of PostgreSQL, and longer than most tests do.
    """
    engines: list[Engine] = []

    def engine(number: int) -> Engine:
        while len(engines) <= number:
            engines.append(make_engine(migrated_postgres_url, CONNECTIONS))
        return engines[number]

    yield engine
    for each in engines:
        each.dispose()


# In one round trip.
_EMPTY = "; ".join(
    # Its one row is there from the beginning.
    "UPDATE configuration_clock SET revision = 0"
    if table is configuration_clock
    else f'DELETE FROM "{table.name}"'
    for table in reversed(metadata.sorted_tables)
)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(_EMPTY)


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
        engine_of = request.getfixturevalue("postgres_engines")
        numbers = count()
        yield lambda: SqlStore(engine_of(next(numbers)))
        empty(engine_of(0))
        return
    with ExitStack() as engines:

        def open_another() -> Store:
            engine = make_engine(url, CONNECTIONS)
            engines.callback(engine.dispose)
            return SqlStore(engine)

        yield open_another


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()
