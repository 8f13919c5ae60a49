"""The behaviour that only a store on a database has. That of all stores is in tests/contract."""

import random
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import NotSupportedError
from sqlalchemy import Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError

from adapters.memory.clock import MemoryClock
from adapters.sql.engine import make_engine, sql_url, sqlite_file
from adapters.sql.migrations import differences, upgrade
from adapters.sql.schema import current_revision, newest_revision
from adapters.sql.store import SqlStore
from adapters.sql.tables import metadata
from application.configuration.put_configuration import PutConfiguration
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.record_heartbeat import Acknowledged, Heartbeat, RecordHeartbeat
from application.ports.store.servers import ServerFilter
from application.ports.store.store import StoreFailed, StoreUnavailable
from application.registration.register_server import RegisterServer, Registration
from application.servers.update_server import ServerChanges, UpdateServer
from domain.liveness import HeartbeatSchedule
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once
from tests.support.fleet import OPEN
from tests.support.services.postgres import PASSWORD, PostgresCluster, PostgresServer
from tests.support.services.postgres_wire import statements_sent

OpenEngine = Callable[..., Engine]

# Both are copied from the migration guide of the specification.
LIST_INACTIVE_SERVERS = """\
-- List inactive servers (not seen in 24 hours)
SELECT server_id, name, status, last_seen
FROM servers
WHERE last_seen < NOW() - INTERVAL '24 hours';
"""
STATES_OF_OTHERS = """\
SELECT state FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# A connection that was used within a second is assumed to be alive.
IDLE_SECONDS = 1.1
DELETE_OLD_SERVERS = """\
-- Delete old servers (be careful!)
DELETE FROM servers
WHERE server_id IN (1, 2, 3);  -- Replace with actual IDs
"""


@pytest.fixture
def open_engine() -> Iterator[OpenEngine]:
    with ExitStack() as engines:

        def open_one(url: str, connections: int = 1) -> Engine:
            engine = make_engine(url, connections)
            engines.callback(engine.dispose)
            return engine

        yield open_one


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'fleet.sqlite3'}"


def register(store: SqlStore, names: list[str], now: datetime = NOW) -> list[int]:
    """The ids of servers that reported their capabilities at the time."""
    heartbeat_interval = HeartbeatInterval(HeartbeatSchedule(INTERVAL, 2000))
    use_case = RegisterServer(store, MemoryClock(now), heartbeat_interval, authenticate_host=OPEN)
    registrations = [Registration(name, capabilities=CAPABILITIES) for name in names]
    return [use_case(registration).server.server_id for registration in registrations]


def heartbeats_of(store: SqlStore) -> tuple[RecordHeartbeat, MemoryClock]:
    clock = MemoryClock(NOW)
    return RecordHeartbeat(
        store, clock, HeartbeatInterval(HeartbeatSchedule(INTERVAL, 2000)), HeartbeatIntake()
    ), clock


def count_rows(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def test_the_specification_lists_inactive_servers(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    engine = open_engine(postgres_url)
    store = SqlStore(engine)
    now = datetime.now(UTC)
    [old] = register(store, ["old"], now - timedelta(hours=25))
    register(store, ["new"], now - timedelta(hours=23))
    with store.begin() as transaction:
        transaction.servers.add("never", "")

    with engine.connect() as connection:
        inactive = connection.exec_driver_sql(LIST_INACTIVE_SERVERS).all()
    assert [tuple(row) for row in inactive] == [(old, "old", "online", now - timedelta(hours=25))]


def test_the_specification_deletes_old_servers(postgres_url: str, open_engine: OpenEngine) -> None:
    engine = open_engine(postgres_url)
    store = SqlStore(engine)
    ids = register(store, ["a", "b", "c", "d"])
    put = PutConfiguration(store, MemoryClock(NOW))
    for server_id in ids:
        put(server_id, "valheim", "{}")

    with engine.begin() as connection:
        assert connection.exec_driver_sql(DELETE_OLD_SERVERS).rowcount == 3
    with store.begin() as transaction:
        assert [s.name for s in transaction.servers.page(ServerFilter(), 0, 10)] == ["d"]
    # The rows that belong to the servers are deleted with them, but not their history and the
    # events that are still to be published.
    counts = {table: count for table, count in count_rows(engine).items() if count}
    assert counts.pop("outbox") == counts.pop("server_history") == 3 * 4
    assert counts.pop("configuration_clock") == 1
    assert counts == dict.fromkeys(
        (
            *("servers", "server_capabilities", "server_capability_history"),
            *("configurations", "server_identities"),
        ),
        1,
    )


def test_heartbeats_touch_no_index(postgres_url: str, open_engine: OpenEngine) -> None:
    engine = open_engine(postgres_url)
    store = SqlStore(engine)
    heartbeat, clock = heartbeats_of(store)
    ids = register(store, [f"web-{n}" for n in range(200)])
    before = _updates(engine)
    for _ in range(25):
        clock.advance(SECOND)
        heartbeat([Heartbeat(server_id) for server_id in random.sample(ids, 40)])

    hot, updates = (after - then for after, then in zip(_updates(engine), before, strict=True))
    assert updates == 1000
    assert hot / updates > 0.95


def _updates(engine: Engine) -> tuple[int, int]:
    """The number of heap-only updates of servers, and of all updates of servers."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with engine.connect() as connection:
        hot, updates = connection.execute(
            text(
                "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'servers'"
            )
        ).one()
    return hot, updates


def test_storage_does_not_grow_with_heartbeats(postgres_url: str, open_engine: OpenEngine) -> None:
    engine = open_engine(postgres_url)
    store = SqlStore(engine)
    heartbeat, clock = heartbeats_of(store)
    ids = register(store, [f"web-{n}" for n in range(50)])
    before = count_rows(engine)
    for beat in range(20):
        clock.advance(SECOND)
        report = replace(CAPABILITIES, available_memory_mb=beat, available_cpu_millicores=beat)
        heartbeat([Heartbeat(server_id, report) for server_id in ids])

    assert count_rows(engine) == before


def test_batches_sweeps_and_operators_in_any_order_never_deadlock(
    postgres_url: str, open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a lock may be held for long; only a deadlock must end a transaction.
    monkeypatch.setattr("adapters.sql.engine._OPTIONS", "-c lock_timeout=0 -c statement_timeout=0")
    stores = [SqlStore(open_engine(postgres_url, connections=5)) for _ in range(2)]
    names = [f"web-{n}" for n in range(40)]
    ids = register(stores[0], names)

    def beat(store: SqlStore) -> None:
        heartbeat, _ = heartbeats_of(store)
        for _ in range(25):
            batch = [
                Heartbeat(
                    server_id,
                    replace(CAPABILITIES, cpu_cores=random.randint(16, 20)),
                    leaving=random.random() < 0.2,
                )
                for server_id in random.sample(ids, 30)
            ]
            assert all(isinstance(answer, Acknowledged) for answer in heartbeat(batch))

    def sweep(store: SqlStore) -> None:
        for _ in range(50):
            with store.begin() as transaction:
                transaction.presences.expire(NOW + 100 * INTERVAL)

    def join(store: SqlStore) -> None:
        register(store, random.sample(names, len(names)))

    def move_the_default(store: SqlStore) -> None:
        update = UpdateServer(
            store, MemoryClock(NOW), HeartbeatInterval(HeartbeatSchedule(INTERVAL, 2000))
        )
        for _ in range(50):
            update(random.choice(ids), ServerChanges(is_default=True))

    # A deadlock would end one of them with StoreUnavailable.
    jobs = (beat, beat, sweep, join, move_the_default)
    at_once([partial(job, store) for store in stores for job in jobs])


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


def test_a_batch_of_heartbeats_takes_two_round_trips(
    postgres_url: str, open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine a second may pass between two batches, and then the connection is checked.
    monkeypatch.setattr("adapters.sql.engine._FRESH_SECONDS", inf)
    ids = register(SqlStore(open_engine(postgres_url)), ["a", "b", "c"])
    with statements_sent(postgres_url) as (url, sent):
        heartbeat, _ = heartbeats_of(SqlStore(open_engine(url)))
        heartbeat([Heartbeat(server_id) for server_id in ids])
        sent.clear()
        heartbeat([Heartbeat(server_id) for server_id in ids])

    assert [statement[:13] for statement in sent] == ["BEGIN; UPDATE", "COMMIT"]


@pytest.mark.parametrize("rows", [{"name": "web"}, [{"name": "web"}, {"name": "db"}]])
def test_a_failed_transaction_leaves_nothing_behind(
    postgres_url: str, open_engine: OpenEngine, rows: Any
) -> None:
    engine = open_engine(postgres_url)

    def fail(broken: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO servers (name) VALUES (:name)"), rows)
            connection.execute(text(broken))

    for broken in ("SELECT 1 / 0", "SELECT nonsense"):
        with pytest.raises(DBAPIError):
            fail(broken)
    assert count_rows(engine)["servers"] == 0


def test_a_connection_without_transactions_is_refused(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    with open_engine(postgres_url).connect() as connection, pytest.raises(NotSupportedError):
        connection.execution_options(isolation_level="AUTOCOMMIT")


def test_a_failed_first_statement_leaves_no_transaction_open(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    engine, other = open_engine(postgres_url), open_engine(postgres_url)
    for broken in ("SELECT 1 / 0", "SELECT nonsense", "SELECT FROM WHERE"):
        with pytest.raises(DBAPIError), engine.begin() as connection:
            connection.execute(text(broken))

        with other.connect() as connection:
            states = connection.scalars(text(STATES_OF_OTHERS)).all()
        assert states == ["idle"]
        register(SqlStore(engine), ["web"])


def test_a_connection_that_was_lost_while_idle_fails_no_call(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    store, other = SqlStore(open_engine(postgres_url)), open_engine(postgres_url)
    [web] = register(store, ["web"])
    _cut_all_connections_but_of(other)
    time.sleep(IDLE_SECONDS)

    assert register(store, ["web"]) == [web]


def test_a_connection_that_is_lost_during_a_transaction_makes_the_store_unavailable_once(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    store, other = SqlStore(open_engine(postgres_url)), open_engine(postgres_url)

    def lose_the_connection() -> None:
        with store.begin() as transaction:
            transaction.servers.find_or_add("web")
            _cut_all_connections_but_of(other)
            transaction.presences.count_online()

    with pytest.raises(StoreUnavailable) as raised:
        lose_the_connection()

    assert str(raised.value) == UNAVAILABLE
    with store.begin() as transaction:
        assert transaction.servers.page(ServerFilter(), 0, 10) == []


def _cut_all_connections_but_of(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_store_works_again_once_its_server_is_back(
    own_postgres: PostgresCluster, open_engine: OpenEngine
) -> None:
    url = own_postgres.create_database()
    upgrade(url)
    store = SqlStore(open_engine(url, connections=2))
    [web] = register(store, ["web"])
    own_postgres.stop()
    with pytest.raises(StoreUnavailable):
        register(store, ["db"])
    own_postgres.start()

    assert register(store, ["web"]) == [web]


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


def test_an_sqlite_file_that_was_moved_away_accepts_nothing_until_it_is_back(
    sqlite_url: str, tmp_path: Path, open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(sqlite_url)
    file, elsewhere = tmp_path / "fleet.sqlite3", tmp_path / "elsewhere.sqlite3"
    store = SqlStore(open_engine(sqlite_url, connections=2))
    [web] = register(store, ["web"])
    # Once without a file, and once with another file in its place.
    for is_replaced in (False, True):
        file.rename(elsewhere)
        if is_replaced:
            shutil.copy(elsewhere, file)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                register(store, ["db"])
        assert file.exists() == is_replaced
        elsewhere.rename(file)

        assert register(store, ["web"]) == [web]
    [logged] = caplog.messages
    assert logged == (
        f"the store is not available: DATABASE_URL: {file} was removed or replaced while it was in"
        " use: put it back, or restart this process"
    )


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


def test_a_file_can_be_opened_once_its_directory_exists(
    tmp_path: Path, open_engine: OpenEngine
) -> None:
    url = f"sqlite:///{tmp_path / 'soon' / 'fleet.sqlite3'}"
    store = SqlStore(open_engine(url))

    with pytest.raises(StoreUnavailable), store.begin():
        pass
    (tmp_path / "soon").mkdir()
    upgrade(url)

    assert register(store, ["web"])


def test_several_processes_can_upgrade_one_database_at_once(
    postgres_server: PostgresServer, sqlite_url: str, open_engine: OpenEngine
) -> None:
    for url in (postgres_server.create_database(), sqlite_url):
        engine = open_engine(url)
        assert current_revision(engine) is None

        at_once([partial(upgrade, url)] * 6)

        assert current_revision(engine) == newest_revision()
        assert differences(engine) == []
        assert register(SqlStore(engine), ["web"])


def test_an_upgrade_preserves_the_data(sqlite_url: str, open_engine: OpenEngine) -> None:
    upgrade(sqlite_url)
    store = SqlStore(open_engine(sqlite_url))
    [web] = register(store, ["web"])
    upgrade(sqlite_url)

    assert register(store, ["web"]) == [web]


def test_upgrading_a_directory_makes_the_store_unavailable(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.sqlite3").mkdir()

    with pytest.raises(StoreUnavailable):
        upgrade(sqlite_url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_common_scheme_of_postgresql_is_accepted(
    postgres_url: str, open_engine: OpenEngine, scheme: str
) -> None:
    url = postgres_url.replace("postgresql://", f"{scheme}://", 1)

    assert register(SqlStore(open_engine(url)), ["web"])
    assert sqlite_file(sql_url(url)) is None


def test_the_file_of_an_sqlite_url_is_known(tmp_path: Path) -> None:
    file = tmp_path / "fleet.sqlite3"

    assert sqlite_file(sql_url(f"sqlite:///{file}")) == file
    assert sqlite_file(sql_url("sqlite:///fleet.sqlite3")) == Path("fleet.sqlite3")


@pytest.mark.parametrize(
    "url",
    [
        "",
        PASSWORD,
        "://",
        f"manman:{PASSWORD}@127.0.0.1/fleet",
        f"mysql://manman:{PASSWORD}@127.0.0.1/fleet",
        f"postgresql+psycopg://manman:{PASSWORD}@127.0.0.1/fleet",
        f"postgresql://manman:{PASSWORD}@127.0.0.1:port/fleet",
        f"http://manman:{PASSWORD}@127.0.0.1/",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        f"sqlite+aiosqlite:///{PASSWORD}",
    ],
)
def test_a_broken_url_is_refused_by_a_sentence_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is not|names no|must begin) ") as refused:
        sql_url(url)

    assert PASSWORD not in str(refused.value)
    with pytest.raises(ValueError, match=str(refused.value)):
        make_engine(url)
