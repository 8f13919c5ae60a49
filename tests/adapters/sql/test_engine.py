"""URLs of databases, and connections that are lost."""

import shutil
import time
from pathlib import Path

import pytest

from adapters.sql.engine import make_engine, sql_url, sqlite_file
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from application.ports.store.store import StoreUnavailable
from tests.support.services.postgres import PASSWORD
from tests.support.sql_stores import OpenEngine, cut_all_connections_but_of, register

# A connection that was used within a second is assumed to be alive.
IDLE_SECONDS = 1.1


def test_a_connection_that_was_lost_while_idle_fails_no_call(
    postgres_url: str, open_engine: OpenEngine
) -> None:
    store, other = SqlStore(open_engine(postgres_url)), open_engine(postgres_url)
    [web] = register(store, ["web"])
    cut_all_connections_but_of(other)
    time.sleep(IDLE_SECONDS)

    assert register(store, ["web"]) == [web]


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
