"""Transactions of PostgreSQL and their round trips."""

from math import inf
from typing import Any

import pytest
from psycopg2 import NotSupportedError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from adapters.sql.store import SqlStore
from application.liveness.record_heartbeat import Heartbeat
from tests.support.services.postgres_wire import statements_sent
from tests.support.sql_stores import OpenEngine, count_rows, heartbeats_of, register

STATES_OF_OTHERS = """\
SELECT state FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


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
