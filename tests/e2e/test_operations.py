"""The back-up, restore and key procedures of docs/operations.md."""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text

from adapters.sql.engine import make_engine
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.processes import Api, Process, client, eventually, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def put(api: Api, server_id: int, document: str) -> None:
    with client(api.address) as stub:
        request = pb.PutConfigurationRequest(server_id=server_id, name="limits", document=document)
        stub.PutConfiguration(request)


def skip_unless_pg_dump_can_read(url: str) -> None:
    """pg_dump refuses servers newer than itself, and the installed client may be older than the
    tests' server."""
    try:
        dumped = subprocess.run(
            ["pg_dump", "--schema-only", url],
            capture_output=True,
            check=False,
            timeout=120,
        )
    except FileNotFoundError:
        pytest.skip("no pg_dump: install postgresql-client")
    if dumped.returncode:
        pytest.skip("pg_dump cannot read this server: install its postgresql-client")


def test_a_restored_backup_gives_no_id_twice(
    start_api: StartApi, start_host: StartHost, postgres_url: str, tmp_path: Path
) -> None:
    skip_unless_pg_dump_can_read(postgres_url)
    dump = str(tmp_path / "fleet.dump")
    api = start_api(postgres_url)
    one = start_host(api.address, SERVER_NAME="one", CONFIG_DIR=str(tmp_path / "one"))
    one.wait_until_logged("Registered as server 1")
    put(api, 1, '{"of": "the back-up"}')
    subprocess.run(
        ["pg_dump", "--format=custom", f"--file={dump}", postgres_url], check=True, timeout=120
    )
    put(api, 1, '{"of": "later"}')
    written = tmp_path / "one/limits.json"
    eventually(lambda: written.exists() and "later" in written.read_text(), "it", one, api)
    two = start_host(api.address, SERVER_NAME="two")
    two.wait_until_logged("Registered as server 2")
    api.terminate()
    restore = ["pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={postgres_url}"]
    subprocess.run([*restore, dump], check=True, timeout=120)
    engine = make_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT setval('servers_server_id_seq',"
                " (SELECT max(server_id) + 10000 FROM servers))"
            )
        )
    engine.dispose()
    api = start_api(postgres_url, address=api.address)

    two.wait_until_logged("Registered as server 10002")
    eventually(lambda: "back-up" in written.read_text(), "the back-up's document", one, api)
    eventually(
        lambda: all(server.status == "online" for server in servers(api.address).values()), "both"
    )
    assert {name: server.server_id for name, server in servers(api.address).items()} == {
        "one": 1,
        "two": 10002,
    }


def test_a_copy_of_a_running_sqlite_database_is_a_backup(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    file, copy = tmp_path / "fleet.sqlite3", tmp_path / "copy.sqlite3"
    api = start_api(f"sqlite:///{file}")
    host = start_host(api.address, SERVER_NAME="one")
    host.wait_until_logged("Registered as server 1")
    with closing(sqlite3.connect(file)) as running, closing(sqlite3.connect(copy)) as other:
        running.backup(other)
    late = start_host(api.address, SERVER_NAME="late")
    late.wait_until_logged("Registered as server 2")
    # Keeps the latest rows in the write-ahead log, out of the database file.
    api.kill()
    host.wait_until_logged("Trying again")
    for part in ("-wal", "-shm"):
        Path(f"{file}{part}").unlink(missing_ok=True)
    shutil.copy(copy, file)
    with closing(sqlite3.connect(file)) as restored, restored:
        restored.execute("UPDATE sqlite_sequence SET seq = seq + 10000 WHERE name = 'servers'")
    api = start_api(f"sqlite:///{file}", address=api.address)
    host.wait_until_logged("The API answers again")
    late.wait_until_logged("Registered as server 10002")

    assert {name: server.server_id for name, server in servers(api.address).items()} == {
        "one": 1,
        "late": 10002,
    }
    assert host.count("Registered") == 1


def test_the_registration_key_is_changed_without_losing_a_host(
    start_api: StartApi, start_host: StartHost, postgres_url: str, tmp_path: Path
) -> None:
    old, new = canary("old registration key"), canary("new registration key")
    key = tmp_path / "key"
    key.write_text(f"{old}\n")
    api = start_api(postgres_url, REGISTRATION_KEY=old)
    host = start_host(api.address, SERVER_NAME="box", REGISTRATION_KEY_FILE=str(key))
    host.wait_until_logged("Registered as server 1")
    key.write_text(f"{new}\n")
    api.terminate()
    host.wait_until_logged("Trying again")
    api = start_api(postgres_url, address=api.address, REGISTRATION_KEY=new)
    host.wait_until_logged("The API answers again")
    still_there = servers(api.address)["box"].status
    host.terminate()
    again = start_host(api.address, SERVER_NAME="box", REGISTRATION_KEY_FILE=str(key))
    again.wait_until_logged("Registered as server 1")
    late = start_host(api.address, SERVER_NAME="late", REGISTRATION_KEY=old)

    assert still_there == "online"
    assert late.wait() == 77


def test_a_host_with_an_old_key_a_void_credential_and_something_to_fetch_ends(
    start_api: StartApi, start_host: StartHost, postgres_url: str, tmp_path: Path
) -> None:
    old, new = canary("old registration key"), canary("new registration key")
    api = start_api(postgres_url, REGISTRATION_KEY=old)
    host = start_host(
        api.address, SERVER_NAME="box", REGISTRATION_KEY=old, CONFIG_DIR=str(tmp_path / "config")
    )
    host.wait_until_logged("Registered as server 1")
    api.terminate()
    host.wait_until_logged("Trying again")
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM signing_keys")
        connection.commit()
    api = start_api(postgres_url, address=api.address, REGISTRATION_KEY=new)
    host.wait_until_logged("The API answers again")
    put(api, 1, "{}")

    assert host.wait() == 77
