"""Deleted servers that another version of the software has stored."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from adapters.sql import tables
from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from domain.approval import Approval
from domain.configuration import Configuration
from domain.labels import NO_LABELS
from domain.liveness import Presence, Status, offline_presence
from domain.machine_evidence import UNKNOWN_IDENTITY
from domain.server import Server
from tests.support.builders import CAPABILITIES, NOW, SECOND

Record = dict[str, list[dict[str, Any]]]

# A record of the first version that stores deleted servers, without the columns that versions
# before it did not have.
OLD_RECORD: Record = {
    "servers": [
        {
            "server_id": 42,
            "name": "web",
            "status": "online",
            "last_seen": "2026-02-28T23:59:58.123456+00:00",
            "offline_after": "2026-03-01T00:00:43.123456+00:00",
            "heard_via": "grpc",
            "environment": "production",
            "is_default": True,
            "config_revision": 7,
        }
    ],
    "server_capabilities": [
        {
            "server_id": 42,
            "total_memory_mb": 65536,
            "available_memory_mb": 32768,
            "cpu_cores": 16,
            "available_cpu_millicores": 12000,
            "available_ports": [
                {"start": 25565, "end": 25600, "protocol": "TCP"},
                {"start": 27000, "end": 27050, "protocol": "UDP"},
            ],
            "docker_version": "27.5.1",
        }
    ],
    "configurations": [
        {
            "server_id": 42,
            "name": "limits",
            "document": '{"a": "ü"}',
            "revision": 7,
            "updated_at": "2026-02-28T23:59:57.123456+00:00",
        }
    ],
}
AS_IT_WAS = Server(
    42,
    "web",
    "production",
    Presence(Status.ONLINE, NOW, NOW + 45 * SECOND, "grpc"),
    is_default=True,
    capabilities=CAPABILITIES,
    config_revision=7,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
            upgrade(url)
        else:
            url = request.getfixturevalue("postgres_url")
        engine = make_engine(url)
        stack.callback(engine.dispose)
        yield engine


def store_record(engine: Engine, record: Record) -> None:
    """Store a deleted server as another version would have done."""
    [server] = record["servers"]
    with engine.begin() as connection:
        connection.execute(
            tables.deleted_servers.insert(),
            {
                "server_id": server["server_id"],
                "name": server["name"],
                "deleted_at": NOW,
                "purged_at": NOW + SECOND,
                "cause": "an operator deleted it",
                "record": record,
            },
        )


def test_a_server_that_an_older_version_deleted_is_listed_and_restored(engine: Engine) -> None:
    store_record(engine, OLD_RECORD)
    store = SqlStore(engine)
    with store.begin() as transaction:
        [listed] = transaction.deleted_servers.page(0, 10)
        restored = transaction.deleted_servers.restore(42)
        document = transaction.configurations.get(42, "limits")
        identity = transaction.identities.get(42)
        history = transaction.capability_reports.history(42)

    assert listed.server == AS_IT_WAS
    assert (restored.approval, restored.epoch, restored.labels) == (
        Approval.APPROVED,
        0,
        NO_LABELS,
    )
    assert restored.presence == Presence(Status.OFFLINE, NOW, None, "grpc")
    assert restored.capabilities == CAPABILITIES
    assert document == Configuration("limits", '{"a": "ü"}', 7, NOW - SECOND)
    assert (identity, history) == (UNKNOWN_IDENTITY, [])


def test_a_server_that_a_newer_version_deleted_is_listed_and_restored(engine: Engine) -> None:
    newer = {
        **{table: [{**row, "colour": "blue"} for row in rows] for table, rows in OLD_RECORD.items()}
    }
    store_record(engine, {**newer, "moods": [{"server_id": 42, "mood": "good"}]})
    with SqlStore(engine).begin() as transaction:
        [listed] = transaction.deleted_servers.page(0, 10)
        restored = transaction.deleted_servers.restore(42)

    assert listed.server == AS_IT_WAS
    assert (restored.name, restored.capabilities) == ("web", CAPABILITIES)


def test_every_column_of_a_server_that_a_record_may_lack_has_a_default(engine: Engine) -> None:
    """Otherwise a later version could not restore a server that this one deletes."""
    required = {"server_id", "name", "last_seen", "offline_after"}
    with SqlStore(engine).begin() as transaction:
        web = transaction.servers.add("web", "").server_id
        transaction.deleted_servers.move_to_deleted(
            [web], NOW, NOW + SECOND, "an operator deleted it"
        )
    _drop_columns(engine, web, lambda column: column in required)
    with SqlStore(engine).begin() as transaction:
        [listed] = transaction.deleted_servers.page(0, 10)
        restored = transaction.deleted_servers.restore(web)

    assert listed.server == restored == Server(web, "web")


def _drop_columns(engine: Engine, server_id: int, stays: Callable[[str], bool]) -> None:
    deleted = tables.deleted_servers
    with engine.begin() as connection:
        record: Record = connection.execute(
            select(deleted.c.record).where(deleted.c.server_id == server_id)
        ).scalar_one()
        [server] = record["servers"]
        assert len(server) > 4
        old = {"servers": [{column: server[column] for column in server if stays(column)}]}
        connection.execute(update(deleted).values(record=old))


def test_servers_that_another_process_deletes_at_the_moment_are_skipped(postgres_url: str) -> None:
    engine = make_engine(postgres_url, connections=2)
    store = SqlStore(engine)
    with store.begin() as transaction:
        ids = [transaction.servers.add(name, "").server_id for name in ("a", "b", "c", "d")]
        transaction.deleted_servers.move_to_deleted(ids[:2], NOW, NOW, "an operator deleted it")
        for server_id in ids[2:]:
            server = transaction.servers.get(server_id, lock=True)
            transaction.servers.save(
                replace(server, ephemeral=True, presence=offline_presence(NOW))
            )
    with store.begin() as one, store.begin() as other:
        purged = [one.deleted_servers.purge(NOW, 1), other.deleted_servers.purge(NOW, 10)]
        pruned = [one.servers.prunable(NOW + SECOND, 1), other.servers.prunable(NOW + SECOND, 10)]
    engine.dispose()

    assert purged == [ids[:1], ids[1:2]]
    assert [[server.server_id for server in each] for each in pruned] == [ids[2:3], ids[3:]]


def test_the_record_of_a_server_is_plain_json_with_all_tables_of_the_server(engine: Engine) -> None:
    with SqlStore(engine).begin() as transaction:
        web = transaction.servers.add("web", "").server_id
        transaction.capability_reports.record({web: CAPABILITIES}, NOW)
        transaction.deleted_servers.move_to_deleted(
            [web], NOW, NOW + SECOND, "an operator deleted it"
        )
    with engine.connect() as connection:
        record: Record = connection.execute(select(tables.deleted_servers.c.record)).scalar_one()

    assert json.loads(json.dumps(record)) == record
    owned = {
        table.name
        for table in tables.metadata.sorted_tables
        if any(key.column.table is tables.servers for key in table.foreign_keys)
    }
    assert record.keys() == {"servers", *owned}
    assert record["servers"][0]["last_seen"] is None
    assert record["server_capability_history"][0]["recorded_at"] == NOW.isoformat()
