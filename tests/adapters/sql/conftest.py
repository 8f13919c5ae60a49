from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from adapters.sql.engine import make_engine
from tests.support.sql_stores import OpenEngine


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
