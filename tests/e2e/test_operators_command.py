"""Commands of an operator: their output and exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.sql.schema import newest_revision
from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.processes import (
    TIMEOUT_SECONDS,
    Api,
    client,
    json_from,
    outcome_of,
    run_to_end,
    servers,
)

CAPABILITIES = pb.ServerCapabilities(
    total_memory_mb=65536,
    available_memory_mb=32768,
    cpu_cores=16,
    available_cpu_millicores=12500,
    docker_version="27.5.1",
)


def populated(start_api: Callable[..., Api]) -> Api:
    """Server 1 is online in dev, 2 is offline in production, 3 never sent a heartbeat."""
    # Long enough that server 1 does not expire during a slow test.
    api: Api = start_api("memory://", HEARTBEAT_INTERVAL_SECONDS="600")
    with client(api.address) as stub:
        stub.RegisterServer(
            pb.RegisterServerRequest(name="one", environment="dev", capabilities=CAPABILITIES)
        )
        stub.RegisterServer(pb.RegisterServerRequest(name="two", environment="production"))
        stub.Heartbeat(pb.HeartbeatRequest(server_id=2, leaving=True))
        stub.CreateServer(pb.CreateServerRequest(name="three"))
    return api


@pytest.fixture
def fleet(start_api: Callable[..., Api]) -> Api:
    return populated(start_api)


@pytest.fixture(scope="module")
def shared_fleet(start_shared_api: Callable[..., Api]) -> Api:
    """A fleet that tests share and never change."""
    return populated(start_shared_api)


def listed(api: Api, *filters: str) -> list[str]:
    _, printed = outcome_of(api, "servers", "list", "-o", "json", *filters)
    return [server["name"] for server in json.loads(printed)]


def test_the_list_shows_every_server_and_its_capabilities(shared_fleet: Api) -> None:
    _, printed = outcome_of(shared_fleet, "servers", "list")
    rows = [line.split() for line in printed.splitlines()]

    assert rows[0][:5] == ["ID", "NAME", "ENVIRONMENT", "STATUS", "LAST"]
    assert rows[1][:4] == ["1", "one", "dev", "online"]
    assert " ".join(rows[1][6:]) == "12.5/16 free 32.0/64.0 GiB free 27.5.1"
    assert rows[2][:4] == ["2", "two", "production", "offline"]
    assert rows[3][:5] == ["3", "three", "-", "offline", "never"]


def test_the_list_is_filtered_by_environment_status_and_silence(shared_fleet: Api) -> None:
    assert listed(shared_fleet, "--environment", "dev") == ["one"]
    assert listed(shared_fleet, "--status", "offline") == ["two", "three"]
    assert listed(shared_fleet, "--not-seen-for", "1h") == ["three"]


def test_a_fleet_of_several_pages_is_listed_completely(api: Api) -> None:
    with client(api.address) as stub:
        for number in range(230):
            stub.CreateServer(pb.CreateServerRequest(name=f"box-{number}"))

    assert listed(api) == [f"box-{number}" for number in range(230)]


def test_one_server_is_shown_with_its_configuration(fleet: Api) -> None:
    outcome_of(fleet, "configs", "put", "1", "limits", stdin="{}")
    _, printed = outcome_of(fleet, "servers", "show", "1")
    _, as_json = outcome_of(fleet, "servers", "show", "1", "-o", "json")

    assert "limits (revision 1)" in printed
    assert json.loads(as_json)["configurations"] == [
        {"name": "limits", "revision": 1, "selector": None}
    ]


def test_deletion_asks_for_confirmation_and_a_no_deletes_nothing(shared_fleet: Api) -> None:
    exit_code, printed = outcome_of(shared_fleet, "servers", "delete", "2", stdin="n\n")

    assert exit_code == 1
    assert "Delete 1 server with all configuration? [y/N]" in printed
    assert set(servers(shared_fleet.address)) == {"one", "two", "three"}


def test_servers_are_deleted_by_id_or_age_but_not_in_a_dry_run(fleet: Api) -> None:
    exit_code, printed = outcome_of(fleet, "servers", "delete", "--not-seen-for", "1h", "--dry-run")
    assert (exit_code, set(servers(fleet.address))) == (0, {"one", "two", "three"})
    assert "1 server would be deleted." in printed

    outcome_of(fleet, "servers", "delete", "--not-seen-for", "1h", "--yes")
    assert set(servers(fleet.address)) == {"one", "two"}

    refused, sentence = outcome_of(fleet, "servers", "delete", "1", "--yes")
    assert (refused, set(servers(fleet.address))) == (69, {"one", "two"})
    assert "server 1 is online: stop its host, or use force (--force)" in sentence

    _, printed = outcome_of(fleet, "servers", "delete", "1", "2", "--force", stdin="y\n")
    assert set(servers(fleet.address)) == set()
    assert (
        "Delete 2 servers with all configuration, although 1 of them is online (one)? [y/N]"
    ) in printed


def test_json_lists_what_was_deleted(fleet: Api) -> None:
    dry_run = json_from(fleet, "servers", "delete", "--not-seen-for", "1h", "--dry-run")
    deleted = json_from(fleet, "servers", "delete", "1", "3", "--force", "--yes")
    nothing = json_from(fleet, "servers", "delete", "--not-seen-for", "1h", "--yes")

    assert dry_run == [{"server_id": 3, "name": "three", "deleted": False}]
    assert deleted == [
        {"server_id": 1, "name": "one", "deleted": True},
        {"server_id": 3, "name": "three", "deleted": True},
    ]
    assert nothing == []
    assert set(servers(fleet.address)) == {"two"}


def test_with_o_json_the_question_is_on_stderr(fleet: Api) -> None:
    command = ("manmanv2", "--api", fleet.address, "servers", "delete", "2", "-o", "json")
    ended = run_to_end(*command, stdin="y\n")

    assert json.loads(ended.stdout) == [{"server_id": 2, "name": "two", "deleted": True}]
    assert "Delete 1 server with all configuration? [y/N]" in ended.stderr


def test_only_one_server_is_the_default(fleet: Api) -> None:
    for server_id in ("1", "2"):
        exit_code, _ = outcome_of(fleet, "servers", "set-default", server_id)
        assert exit_code == 0

    assert [name for name, server in servers(fleet.address).items() if server.is_default] == ["two"]


def test_json_uses_the_names_of_the_wire_contract(fleet: Api, tmp_path: Path) -> None:
    put = json_from(fleet, "configs", "put", "1", "limits", stdin="{}")
    deleted = json_from(fleet, "configs", "delete", "1", "limits")
    default = json_from(fleet, "servers", "set-default", "2")
    database = f"sqlite:///{tmp_path / 'new.sqlite3'}"
    upgraded = run_to_end("manmanv2", "db", "upgrade", "-o", "json", DATABASE_URL=database)
    in_memory = run_to_end("manmanv2", "db", "upgrade", "-o", "json", DATABASE_URL="memory://")

    assert put.pop("updated_at").endswith("Z")
    assert put == {"server_id": 1, "name": "limits", "revision": 1}
    assert deleted == {"server_id": 1, "name": "limits"}
    assert (default["server_id"], default["is_default"]) == (2, True)
    assert json.loads(upgraded.stdout) == {"schema_revision": newest_revision()}
    assert json.loads(in_memory.stdout) == {"schema_revision": None}


def test_a_document_is_returned_exactly_as_it_was_put(fleet: Api) -> None:
    document = '{"b": 1.50,  "a": "ü"}'
    _, output = outcome_of(fleet, "configs", "put", "1", "limits", stdin=document)
    _, printed = outcome_of(fleet, "configs", "get", "1", "limits")
    _, names = outcome_of(fleet, "configs", "list", "1")
    deleted, _ = outcome_of(fleet, "configs", "delete", "1", "limits")
    missing, sentence = outcome_of(fleet, "configs", "get", "1", "limits")

    assert output == "limits of server 1 has revision 1\n"
    assert printed == document
    assert names.splitlines()[1].split()[:2] == ["limits", "1"]
    assert deleted == 0
    assert (missing, sentence) == (
        66,
        "manmanv2: server 1 has no configuration named 'limits'\n",
    )


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["servers", "show", "42"], 66, "server 42 does not exist"),
        (["configs", "put", "1", "Bad/Name"], 65, "name must have 1 to 100"),
        (["configs", "put", "1", "good"], 65, "document is not valid JSON"),
        (
            ["servers", "show", "web"],
            2,
            "No server has the id 'web'; see `manmanv2 servers list`.",
        ),
        (["servers", "merge", "1", "1"], 65, "OLD and NEW are the same server"),
        (["servers", "delete"], 2, "Give either the ids of servers or --not-seen-for."),
        (["servers", "list", "--not-seen-for", "soon"], 2, "write for example 90s, 30m, 24h or 7d"),
        (["--api", "127.0.0.1:1", "servers", "list"], 69, "no API answers at 127.0.0.1:1"),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(
    shared_fleet: Api, arguments: list[str], exit_code: int, words: str
) -> None:
    ended, printed = outcome_of(shared_fleet, *arguments)

    assert ended == exit_code
    assert words in printed
    assert "Traceback" not in printed


def test_with_o_json_an_error_is_one_sentence_on_stderr(shared_fleet: Api) -> None:
    command = ("manmanv2", "--api", shared_fleet.address, "servers", "show", "42", "-o", "json")
    ended = run_to_end(*command)

    assert (ended.returncode, ended.stdout) == (66, "")
    assert ended.stderr == "manmanv2: server 42 does not exist\n"


def test_ctrl_c_during_the_start_prints_no_traceback(
    tmp_path: Path,
) -> None:
    # Replaces a library with one that loads slowly.
    (tmp_path / "click.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(60)")
    command = Path(sys.executable).parent / "manmanv2"
    loading = subprocess.Popen(
        # A shell starts its background jobs with SIGINT ignored, and this suite may be one.
        ["env", "--default-signal=INT", command, "servers", "list"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert loading.stdout
    assert loading.stdout.readline() == "loading\n"
    loading.send_signal(signal.SIGINT)
    _, stderr = loading.communicate(timeout=TIMEOUT_SECONDS)

    assert stderr == ""
    # A shell reports this as 130.
    assert loading.returncode == -signal.SIGINT


def test_an_operator_without_the_key_is_refused(start_api: Callable[..., Api]) -> None:
    key = canary("operator key")
    api = start_api("memory://", OPERATOR_KEY=key)
    without = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address)
    with_key = run_to_end("manmanv2", "servers", "list", API_ADDRESS=api.address, OPERATOR_KEY=key)

    assert without.returncode == 77
    assert without.stderr == (
        "manmanv2: operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for"
        " the command\n"
    )
    assert with_key.returncode == 0


def test_the_list_shows_how_long_ago_a_server_was_seen(fleet: Api) -> None:
    time.sleep(2)
    _, printed = outcome_of(fleet, "servers", "list")

    assert "s ago" in printed.splitlines()[2]
