"""The spans of SQL statements."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from adapters.sql.engine import make_engine
from tests.support.traced import Traced, attributes, failed, identity, parent


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, traced: Traced, tmp_path: Path) -> Iterator[Engine]:
    url = (
        f"sqlite:///{tmp_path / 'traced.sqlite3'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    engine = traced.traces.engine(make_engine(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE secrets (name TEXT UNIQUE, words TEXT)"))
    yield engine
    engine.dispose()


INSERT = "INSERT INTO secrets (name, words) VALUES (:name, :words)"


# Not canaries: the log of PostgreSQL is searched for canaries too, and contains these values.
ROW = {"name": "written name", "words": "written words"}


def test_the_span_of_a_statement_does_not_contain_its_values(
    traced: Traced, engine: Engine
) -> None:
    with traced.tracing.span("a call"), engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    insert, call = traced.only("INSERT"), traced.only("a call")

    assert (parent(insert), identity(insert)[0]) == (identity(call)[1], identity(call)[0])
    assert insert.kind is SpanKind.CLIENT
    assert attributes(insert)["db.system.name"] == engine.dialect.name
    assert attributes(insert)["db.query.text"].startswith("INSERT INTO secrets (name, words) VAL")
    assert "written" not in insert.to_json()
    assert not failed(insert)


def test_the_span_of_a_failed_statement_does_not_contain_the_message_of_the_database(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text(INSERT), ROW)
    with pytest.raises(DBAPIError), traced.tracing.span("a call"), engine.begin() as connection:
        # The message of PostgreSQL contains the value of the existing key.
        connection.execute(text(INSERT), ROW)
    insert = traced.only("INSERT")

    assert failed(insert)
    assert "written" not in insert.to_json()
    if engine.dialect.name == "postgresql":
        assert attributes(insert)["db.response.status_code"] == "23505"


def test_a_statement_outside_a_traced_operation_is_not_traced(
    traced: Traced, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with traced.tracing.span("a call", parent=None):
        pass

    assert traced.names == ["a call"]


def test_a_connection_lost_during_a_statement_ends_its_span(
    traced: Traced, postgres_url: str
) -> None:
    engine = traced.traces.engine(make_engine(postgres_url, 2))
    with pytest.raises(DBAPIError), traced.tracing.span("a call"), engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with traced.tracing.span("the next"), engine.begin() as connection:
        connection.execute(text("SELECT 2"))
    engine.dispose()
    cut, after = [span for span in traced.spans if span.name == "SELECT"]

    assert (failed(cut), failed(after)) == (True, False)
    assert parent(after) == identity(traced.only("the next"))[1]
