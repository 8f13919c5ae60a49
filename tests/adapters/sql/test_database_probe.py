import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.sql.database_probe import SqlDatabaseProbe
from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.schema import newest_revision
from application.ports.probes.database_probe import DatabaseUnavailable, DatabaseUnfit
from tests.support.canary_secrets import canary
from tests.support.services.postgres import PostgresCluster, PostgresServer


def set_revision(url: str, revision: str) -> None:
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    engine.dispose()


def unfit(url: str) -> str:
    with pytest.raises(DatabaseUnfit) as caught:
        SqlDatabaseProbe(url).describe()
    return str(caught.value)


def unavailable(url: str) -> str:
    with pytest.raises(DatabaseUnavailable) as caught:
        SqlDatabaseProbe(url).describe()
    return str(caught.value)


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        file.name: (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.iterdir()
        # It holds locks, and SQLite creates it again at each start.
        if not file.name.endswith("-shm")
    }


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An SQLite file with the current schema, which no process has open."""
    url = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    upgrade(url)
    return url


# PostgreSQL


def test_a_server_is_described_by_its_version_and_schema(postgres_url: str) -> None:
    description = SqlDatabaseProbe(postgres_url).describe()

    assert description.startswith("PostgreSQL 1")
    assert description.endswith(f" answers, with schema {newest_revision()}")


def test_the_clock_of_a_server_on_this_machine_agrees(postgres_url: str) -> None:
    reading = SqlDatabaseProbe(postgres_url).read_clock()

    assert reading
    assert reading.difference == timedelta(0)


def test_an_empty_database_is_left_empty(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database()
    for _ in range(2):
        assert unfit(url) == (
            "DATABASE_URL: the database is empty: run `manmanv2 db upgrade` first."
        )
    postgres_server.drop_database(url)


@pytest.mark.parametrize(("revision", "fix"), [("0001", "db upgrade"), ("9999", "install the")])
def test_a_database_of_another_version_is_unfit(revision: str, fix: str, postgres_url: str) -> None:
    set_revision(postgres_url, revision)

    assert f"has schema {revision}, this version works with" in unfit(postgres_url)
    assert fix in unfit(postgres_url)


def test_a_stopped_server_is_unavailable(own_postgres: PostgresCluster) -> None:
    url = own_postgres.create_database()
    own_postgres.stop()

    assert unavailable(url).startswith(
        "DATABASE_URL: the database cannot be reached: nothing listens there; check that it runs"
    )


def test_no_error_contains_the_password(postgres_url: str) -> None:
    url = postgres_url.replace("://manman@", f"://nobody:{canary('password')}@") + "x"

    assert canary("password") not in str(SqlDatabaseProbe(url))
    with pytest.raises((DatabaseUnavailable, DatabaseUnfit)) as caught:
        SqlDatabaseProbe(url).describe()
    assert canary("password") not in str(caught.value)


# SQLite


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    description = SqlDatabaseProbe(f"sqlite:///{tmp_path / 'none.sqlite3'}").describe()

    assert description.endswith("none.sqlite3 does not exist yet, manmanv2-api creates it")
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_a_missing_directory_names_it(tmp_path: Path) -> None:
    assert unfit(f"sqlite:///{tmp_path}/none/fleet.sqlite3") == (
        f"DATABASE_URL: the directory {tmp_path}/none does not exist: create it."
    )


def test_examining_a_file_changes_nothing_and_leaves_no_file_beside_it(
    url: str, tmp_path: Path
) -> None:
    before = state_of(tmp_path)
    description = SqlDatabaseProbe(url).describe()

    assert description.endswith(f"fleet.sqlite3 is usable, with schema {newest_revision()}")
    assert state_of(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["fleet.sqlite3"]


def test_a_file_with_a_writer_can_be_examined_and_is_left_alone(url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "fleet.sqlite3")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE alembic_version SET version_num = '0001'")
        before = state_of(tmp_path)
        description = SqlDatabaseProbe(url).describe()

        assert description.endswith(f"is usable, with schema {newest_revision()}")
        assert state_of(tmp_path) == before


@pytest.mark.parametrize("revision", ["0001", None])
def test_an_old_or_empty_file_is_left_to_the_api(revision: str | None, tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite3"
    if revision:
        upgrade(f"sqlite:///{file}")
        set_revision(f"sqlite:///{file}", revision)
    else:
        file.touch()
    before = state_of(tmp_path)
    description = SqlDatabaseProbe(f"sqlite:///{file}").describe()

    assert description.endswith(
        f"has schema {revision or 'none'}, manmanv2-api upgrades it to {newest_revision()}"
    )
    assert state_of(tmp_path) == before


def test_a_file_of_a_newer_version_is_unfit(url: str) -> None:
    set_revision(url, "9999")

    assert "install the version that upgraded it" in unfit(url)


def test_a_file_that_is_not_a_database_is_unfit(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("no database" * 1000)

    assert "is damaged or is not an SQLite database" in unfit(f"sqlite:///{file}")


@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o777), (0o666, 0o555), (0o666, 0), (None, 0o555)]
)
def test_a_file_without_write_permission_is_unfit(
    file_mode: int | None, folder_mode: int, short_folder: Path
) -> None:
    file = short_folder / "fleet.sqlite3"
    if file_mode:
        upgrade(f"sqlite:///{file}")
        file.chmod(file_mode)
    short_folder.chmod(folder_mode)
    # Root has every permission, so root examines the file as another user.
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        message = unfit(f"sqlite:///{file}")
    finally:
        if privileged:
            os.seteuid(0)
        short_folder.chmod(0o755)

    assert message == f"DATABASE_URL: {file} cannot be opened for writing: check its permissions."


def test_a_file_has_no_clock(url: str) -> None:
    assert SqlDatabaseProbe(url).read_clock() is None


def test_another_kind_of_url_is_unfit() -> None:
    assert unfit("mysql://h/d").startswith("DATABASE_URL: must begin with postgresql:// ")
