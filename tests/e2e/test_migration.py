"""Migrates a large fleet to the newest schema while APIs of the previous version serve it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from alembic import command

from adapters.sql.engine import make_engine
from adapters.sql.migrations import alembic_config
from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import Api, client, run_to_end
from tests.support.services.postgres import PostgresServer

SERVERS = 100_000
PREVIOUS = "0003"

SEED = f"""
INSERT INTO servers (name, status, last_seen, offline_after, environment, config_revision)
SELECT 'game-' || n, 'online', now(), now() + interval '1 hour', 'production', mod(n, 3)
FROM generate_series(1, {SERVERS}) n;
INSERT INTO server_capabilities
SELECT server_id, 65536, 32768, 16, 12000, '[]', '27.5.1' FROM servers;
INSERT INTO server_capability_history
    (server_id, recorded_at, total_memory_mb, cpu_cores, available_ports, docker_version)
SELECT server_id, now(), 65536, 16, '[]', '27.5.1' FROM servers;
INSERT INTO configurations
SELECT server_id, 'valheim', '{{"slots": ' || server_id || '}}', config_revision, now()
FROM servers WHERE config_revision > 0;
INSERT INTO outbox
    (message_id, kind, server_id, occurred_at, name, environment, status, config_revision)
SELECT gen_random_uuid()::text, 'registered', server_id, now(), name, environment, status, 0
FROM servers WHERE server_id <= 1000;
"""
# Statements of the version that had that schema.
HEARTBEATS = """
UPDATE servers SET status = 'online', last_seen = now(), offline_after = now() + interval '1 hour',
    heard_via = 'grpc'
FROM (SELECT server_id FROM servers WHERE server_id = ANY(%s) ORDER BY server_id
    FOR NO KEY UPDATE) before
WHERE servers.server_id = before.server_id
"""
REGISTRATION = "INSERT INTO servers (name) VALUES (%s) ON CONFLICT DO NOTHING RETURNING server_id"
EVENT = """
INSERT INTO outbox
    (message_id, kind, server_id, occurred_at, name, environment, status, config_revision,
    trace_parent)
SELECT gen_random_uuid()::text, 'registered', server_id, now(), name, environment, status,
    config_revision, ''
FROM servers WHERE server_id = %s
"""


class FleetAtWork:
    """Sends heartbeats and registrations of the previous version over connections of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopping = threading.Event()
        self.registered: list[int] = []
        self.beats = 0
        self.failures: list[str] = []

    @contextmanager
    def working(self) -> Iterator[None]:
        threads = [threading.Thread(target=work) for work in (self._beat, self._register)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _beat(self) -> None:
        first = 1
        for cursor in self._transactions():
            cursor.execute(HEARTBEATS, ([*range(first, first + 200)],))
            self.beats += cursor.rowcount
            first = (first + 200) % (SERVERS - 200)

    def _register(self) -> None:
        for cursor in self._transactions():
            cursor.execute(REGISTRATION, (f"late-{len(self.registered)}",))
            [server_id] = cursor.fetchone() or (0,)
            cursor.execute(EVENT, (server_id,))
            self.registered.append(server_id)

    def _transactions(self) -> Iterator["psycopg2.extensions.cursor"]:
        connection = psycopg2.connect(self._url)
        try:
            while not self._stopping.is_set():
                with connection, connection.cursor() as cursor:
                    yield cursor
        except psycopg2.Error as error:
            self.failures.append(str(error))
        finally:
            connection.close()


def at_the_previous_schema(url: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), PREVIOUS)
        connection.exec_driver_sql(SEED)
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


# Queries whose rows must not change; each has an order, so that results compare.
KEPT = (
    f"""
    SELECT count(*), md5(string_agg(name || environment || config_revision, ',' ORDER BY name))
    FROM servers WHERE server_id <= {SERVERS}
    """,
    """
    SELECT count(*), md5(string_agg(server_id || name || document || revision, ','
        ORDER BY server_id))
    FROM configurations
    """,
    "SELECT count(*), sum(total_memory_mb) FROM server_capabilities",
    "SELECT count(*), sum(total_memory_mb) FROM server_capability_history",
    "SELECT count(*) FROM outbox WHERE server_id <= 1000",
)


@pytest.fixture
def large_fleet(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create_database()
    at_the_previous_schema(url)
    yield url
    postgres_server.drop_database(url)


def test_a_large_fleet_at_work_is_migrated_and_loses_nothing(
    large_fleet: str,
    start_api: Callable[..., Api],
) -> None:
    before = [rows(large_fleet, query) for query in KEPT]
    fleet = FleetAtWork(large_fleet)
    with fleet.working():
        while not fleet.registered or not fleet.beats:
            time.sleep(0.01)
        registered_before = len(fleet.registered)
        upgraded = run_to_end("manmanv2", "db", "upgrade", DATABASE_URL=large_fleet)
        # APIs of the previous version run until a rollout ends.
        registered_at_the_end = len(fleet.registered)
        while len(fleet.registered) < registered_at_the_end + 10 and not fleet.failures:
            time.sleep(0.01)
    assert upgraded.returncode == 0, upgraded.stderr
    assert fleet.failures == []
    assert registered_at_the_end > registered_before
    assert [rows(large_fleet, query) for query in KEPT] == before
    late = {
        name for [name] in rows(large_fleet, "SELECT name FROM servers WHERE name LIKE 'late-%'")
    }
    assert late == {f"late-{number}" for number in range(len(fleet.registered))}
    assert rows(large_fleet, "SELECT DISTINCT approval, epoch, ephemeral FROM servers") == [
        ("approved", 0, False)
    ]

    with client(start_api(large_fleet).address) as api:
        first = api.RegisterServer(pb.RegisterServerRequest(name="game-1"))

    assert first.server_id == 1
    assert first.server.config_revision == 1
