"""The errors of databases, as the application gets them."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from application.ports.store.store import StoreFailed, StoreUnavailable
from tests.support.services.postgres import PASSWORD, PostgresServer
from tests.support.sql_stores import OpenEngine, register

UNAVAILABLE = "the store is not available, try again"


FAILED = "the store failed"


def test_a_missing_server_makes_the_store_unavailable(open_engine: OpenEngine) -> None:
    with socket.socket() as probe:
        # Bound and not listening, so that connections are refused.
        probe.bind(("127.0.0.1", 0))
        url = f"postgresql://manman:{PASSWORD}@127.0.0.1:{probe.getsockname()[1]}/fleet"

        with pytest.raises(StoreUnavailable) as raised, SqlStore(open_engine(url)).begin():
            pass

    assert str(raised.value) == UNAVAILABLE


def test_a_transaction_that_waits_too_long_for_a_lock_may_be_retried(
    postgres_url: str, open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqlStore(open_engine(postgres_url))
    monkeypatch.setattr("adapters.sql.engine._OPTIONS", "-c lock_timeout=50ms")
    impatient = SqlStore(open_engine(postgres_url))
    [web] = register(store, ["web"])
    with store.begin() as transaction:
        transaction.presences.lock([web])

        with pytest.raises(StoreUnavailable), impatient.begin() as other:
            other.presences.lock([web])


def test_a_transaction_that_waits_too_long_for_an_sqlite_file_may_be_retried(
    sqlite_url: str, tmp_path: Path, open_engine: OpenEngine
) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)

    @event.listens_for(engine, "connect")
    def _shorten_timeout(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA busy_timeout = 20")

    with closing(sqlite3.connect(tmp_path / "fleet.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable), SqlStore(engine).begin():
            pass


def test_a_full_disk_of_an_sqlite_file_is_logged_and_writes_succeed_once_there_is_space(
    sqlite_url: str, open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(sqlite_url)
    engine = open_engine(sqlite_url)
    store = SqlStore(engine)
    with engine.connect() as connection:
        # SQLite reports the same error if it cannot write any more.
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    many = [f"host-{number}" for number in range(1000)]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            register(store, many)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    assert len(register(store, many)) == 1000
    [logged] = caplog.messages
    assert logged == (
        "the store is not available: DATABASE_URL: the disk of the SQLite file is full: free some"
        " space"
    )


def test_a_full_disk_of_postgresql_is_logged_once(
    postgres_url: str, open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE disk_full; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER fill BEFORE INSERT ON servers EXECUTE FUNCTION fill()"
        )
    store = SqlStore(engine)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            register(store, ["web"])

    assert caplog.messages == [
        "the store is not available: DATABASE_URL: the disk of PostgreSQL is full: free some space"
    ]


def test_an_empty_database_fails(
    postgres_server: PostgresServer, sqlite_url: str, open_engine: OpenEngine
) -> None:
    for url in (postgres_server.create_database(), sqlite_url):
        store = SqlStore(open_engine(url))

        with pytest.raises(StoreFailed) as raised, store.begin() as transaction:
            transaction.presences.count_online()

        assert str(raised.value) == FAILED


def test_a_value_that_the_database_refuses_fails(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    store = SqlStore(open_engine(postgres_url))

    with pytest.raises(StoreFailed) as raised, store.begin() as transaction:
        transaction.servers.add("web", "x" * 101)

    assert str(raised.value) == FAILED


@pytest.mark.parametrize("length", [1000, 4096, 9000])
def test_a_half_written_sqlite_file_fails(
    sqlite_url: str,
    tmp_path: Path,
    open_engine: OpenEngine,
    length: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    upgrade(sqlite_url)
    file = tmp_path / "fleet.sqlite3"
    file.write_bytes(file.read_bytes()[:length])
    store = SqlStore(open_engine(sqlite_url))

    with pytest.raises(StoreFailed) as raised, store.begin() as transaction:
        transaction.servers.find_or_add("web")

    assert str(raised.value) == FAILED
    [logged] = caplog.records
    assert logged.getMessage() == (
        f"{FAILED}: DATABASE_URL: the SQLite file is damaged or is not an SQLite database: restore"
        " a backup"
    )
    # Without the error of the driver.
    assert not logged.exc_info


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough" * 100])
def test_a_file_that_is_not_a_database_fails(
    sqlite_url: str, tmp_path: Path, open_engine: OpenEngine, content: bytes
) -> None:
    (tmp_path / "fleet.sqlite3").write_bytes(content)

    with (
        pytest.raises(StoreFailed) as raised,
        SqlStore(open_engine(sqlite_url)).begin() as transaction,
    ):
        transaction.presences.count_online()

    assert str(raised.value) == FAILED
