"""Upgrades of a database."""

from functools import partial
from pathlib import Path

import pytest

from adapters.sql.migrations import differences, upgrade
from adapters.sql.schema import current_revision, newest_revision
from adapters.sql.store import SqlStore
from application.ports.store.store import StoreUnavailable
from tests.support.builders import at_once
from tests.support.services.postgres import PostgresServer
from tests.support.sql_stores import OpenEngine, register


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
