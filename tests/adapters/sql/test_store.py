"""The behaviour that only a store on a database has. That of all stores is in tests/contract."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from adapters.memory.clock import MemoryClock
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from application.configuration.put_configuration import PutConfiguration
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.servers import ServerFilter
from application.ports.store.store import StoreUnavailable
from application.servers.update_server import ServerChanges, UpdateServer
from domain.liveness import HeartbeatSchedule
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once
from tests.support.services.postgres import PostgresCluster
from tests.support.sql_stores import (
    OpenEngine,
    count_rows,
    cut_all_connections_but_of,
    heartbeats_of,
    register,
)

# Both are copied from the migration guide of the specification.
LIST_INACTIVE_SERVERS = """\
-- List inactive servers (not seen in 24 hours)
SELECT server_id, name, status, last_seen
FROM servers
WHERE last_seen < NOW() - INTERVAL '24 hours';
"""


DELETE_OLD_SERVERS = """\
-- Delete old servers (be careful!)
DELETE FROM servers
WHERE server_id IN (1, 2, 3);  -- Replace with actual IDs
"""


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


def test_a_connection_that_is_lost_during_a_transaction_makes_the_store_unavailable_once(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    store, other = SqlStore(open_engine(postgres_url)), open_engine(postgres_url)

    def lose_the_connection() -> None:
        with store.begin() as transaction:
            transaction.servers.find_or_add("web")
            cut_all_connections_but_of(other)
            transaction.presences.count_online()

    with pytest.raises(StoreUnavailable) as raised:
        lose_the_connection()

    assert str(raised.value) == "the store is not available, try again"
    with store.begin() as transaction:
        assert transaction.servers.page(ServerFilter(), 0, 10) == []


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
