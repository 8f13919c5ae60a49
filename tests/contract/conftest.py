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
# Twenty times those of the product: on a busy machine a lock may be held for long, and only a
# deadlock must end a transaction.
OPTIONS = "-c lock_timeout=60s -c statement_timeout=400s"
BUSY_TIMEOUT_MS = 200_000


def make_patient_engine(url: str) -> Engine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapters.sql.engine._OPTIONS", OPTIONS)
        return make_engine(url, CONNECTIONS)


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the current schema, to copy from."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server: PostgresServer, migrated_template: str) -> str:
    """One database for all of these tests: emptying it is faster than creating another."""
    return postgres_server.create_database(migrated_template)


@pytest.fixture(scope="session")
def postgres_engines(migrated_postgres_url: str) -> Iterator[Callable[[int], Engine]]:
    """The engines of a first process, a second process and so on for that database.

    They outlive a test, because connecting takes longer than most tests do.
    """
    engines: list[Engine] = []

    def engine(number: int) -> Engine:
        while len(engines) <= number:
            engines.append(make_patient_engine(migrated_postgres_url))
        return engines[number]

    yield engine
    for each in engines:
        each.dispose()


# In one round trip.
_EMPTY = "; ".join(
    # The migrations insert its one row.
    "UPDATE configuration_clock SET revision = 0"
    if table is configuration_clock
    else f'DELETE FROM "{table.name}"'
    for table in reversed(metadata.sorted_tables)
)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(_EMPTY)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Store]]:
    """Each call opens another store on the same data, which begin empty.

    In memory there is only one; of the others, each is what another process would have.
    """
    monkeypatch.setattr("adapters.sql.engine._SQLITE_BUSY_TIMEOUT_MS", BUSY_TIMEOUT_MS)
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
