"""Stores on a database, and servers in them."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine, func, select

from adapters.memory.clock import MemoryClock
from adapters.sql.store import SqlStore
from adapters.sql.tables import metadata
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.record_heartbeat import RecordHeartbeat
from application.registration.register_server import RegisterServer, Registration
from domain.liveness import HeartbeatSchedule
from tests.support.builders import CAPABILITIES, INTERVAL, NOW
from tests.support.fleet import OPEN

OpenEngine = Callable[..., Engine]


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


def cut_all_connections_but_of(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
