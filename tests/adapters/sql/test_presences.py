"""How PostgreSQL writes heartbeats."""

import random

from sqlalchemy import Engine, text

from adapters.sql.store import SqlStore
from application.liveness.record_heartbeat import Heartbeat
from tests.support.builders import SECOND
from tests.support.sql_stores import OpenEngine, heartbeats_of, register


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
