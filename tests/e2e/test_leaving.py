"""Servers that leave the fleet, and how they are restored."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.builders import evidence
from tests.support.canary_secrets import canary
from tests.support.processes import Api, Process, client, eventually, json_from, run_to_end, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

KEY = canary("registration key")
EVIDENCE = evidence("disk", "board", "boot", "instance")
OTHER_INSTANCE = evidence(instance="other").instance_id


def manmanv2(api: Api, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """The exit code, stdout and stderr."""
    ended = run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address)
    return ended.returncode, ended.stdout, ended.stderr


def join(api: Api, *names: str, ephemeral: bool = False, leaves: bool = False) -> None:
    """Register servers that are then silent, or leave at once."""
    with client(api.address) as stub:
        registrations = [
            stub.RegisterServer.future(pb.RegisterServerRequest(name=name, ephemeral=ephemeral))
            for name in names
        ]
        ids = [registration.result().server_id for registration in registrations]
        leaving_heartbeats = [
            stub.Heartbeat.future(pb.HeartbeatRequest(server_id=server_id, leaving=True))
            for server_id in ids
            if leaves
        ]
        for call in leaving_heartbeats:
            call.result()


def names(api: Api) -> set[str]:
    return set(servers(api.address))


def two_days_pass(file: Path) -> None:
    """Move all times in the database two days back. No API may run on it."""
    columns = (("servers", "last_seen"), ("servers", "offline_after"), ("server_history", "at"))
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, column in columns:
            earlier = f"strftime('%Y-%m-%d %H:%M:%f000', {column}, '-2 days')"
            connection.execute(f"UPDATE {table} SET {column} = {earlier}")


def test_an_online_server_is_deleted_only_by_force(api: Api, start_host: StartHost) -> None:
    host = start_host(api.address, SERVER_NAME="box")
    host.wait_until_logged("Registered as server 1")
    refused = manmanv2(api, "servers", "delete", "1", "--yes")
    listed = names(api)
    exit_code, printed, _ = manmanv2(api, "servers", "delete", "1", "--force", stdin="y\n")

    assert refused[0] == 69
    assert refused[2] == ("manmanv2: server 1 is online: stop its host, or use force (--force)\n")
    assert listed == {"box"}
    assert exit_code == 0
    assert "although 1 of them is online (box)? [y/N]" in printed
    assert "deleted server 1 (box)" in printed
    # The host still runs, and registers again as a new server.
    host.wait_until_logged("Registered as server 2")


def test_a_check_that_only_warns_is_recorded_and_the_call_succeeds(start_api: StartApi) -> None:
    api = start_api("memory://", ENFORCEMENT="delete-online=warn")
    join(api, "box")
    exit_code, _, _ = manmanv2(api, "servers", "delete", "1", "--yes")
    [noted] = json_from(api, "audit", "dry-run")

    assert (exit_code, names(api)) == (0, set())
    assert (noted["switch"], noted["name"], noted["count"]) == ("delete-online", "box", 1)


def test_a_restored_server_gets_its_host_and_its_configuration_back(
    postgres_url: str, start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    document = '{"players": 16,  "motd": "✓ 🎲"}\n'
    api = start_api(postgres_url)
    host = start_host(api.address, SERVER_NAME="box", ENVIRONMENT="production")
    host.wait_until_logged("Registered as server 1")
    manmanv2(api, "configs", "put", "1", "limits", stdin=document)
    host.terminate()
    manmanv2(api, "servers", "delete", "1", "--yes")
    [deleted] = json_from(api, "servers", "list", "--deleted")
    remaining = names(api)
    # The row stays in the database, whichever API deleted the server.
    api.terminate()
    api = start_api(postgres_url)
    exit_code, printed, _ = manmanv2(api, "servers", "restore", "1")
    restored = servers(api.address)["box"]
    again = start_host(api.address, SERVER_NAME="box", CONFIG_DIR=str(tmp_path / "config"))
    again.wait_until_logged("Registered as server 1")
    written = tmp_path / "config" / "limits.json"
    eventually(written.exists, "the document", again, api)

    assert remaining == set()
    assert (deleted["server"]["server_id"], deleted["server"]["name"]) == (1, "box")
    assert deleted["cause"] == "an operator deleted it"
    kept_for = _moment(deleted["purged_at"]) - _moment(deleted["deleted_at"])
    assert kept_for == timedelta(days=30)
    assert (exit_code, printed) == (
        0,
        "restored server 1 (box): it is offline until its host registers again\n",
    )
    assert (restored.server_id, restored.status) == (1, "offline")
    assert restored.environment == "production"
    assert written.read_text() == document
    assert json_from(api, "servers", "list", "--deleted") == []


def test_a_server_whose_name_is_in_use_is_restored_under_another(api: Api) -> None:
    join(api, "box", leaves=True)
    manmanv2(api, "servers", "delete", "1", "--yes")
    join(api, "box")
    taken = manmanv2(api, "servers", "restore", "1")
    exit_code, printed, _ = manmanv2(api, "servers", "restore", "1", "--name", "old-box")
    missing = manmanv2(api, "servers", "restore", "4711")

    assert taken[0] == 73
    assert taken[2] == (
        "manmanv2: a server named 'box' already exists: restore this one under another name"
        " (--name), or delete that one first\n"
    )
    assert (exit_code, printed.split(":")[0]) == (0, "restored server 1 (old-box)")
    assert names(api) == {"box", "old-box"}
    assert (missing[0], missing[2]) == (
        66,
        "manmanv2: no deleted server has the id 4711; see `manmanv2 servers list --deleted`\n",
    )


def test_deleted_servers_are_listed_as_a_table_too(api: Api) -> None:
    join(api, "one", leaves=True)
    join(api, "two", leaves=True)
    manmanv2(api, "servers", "delete", "1", "2", "--yes")
    _, printed, _ = manmanv2(api, "servers", "list", "--deleted")
    head, *rows = printed.splitlines()
    filtered = manmanv2(api, "servers", "list", "--deleted", "--status", "online")

    assert head.split() == ["ID", "NAME", "DELETED", "RESTORABLE", "UNTIL", "CAUSE"]
    assert [row.split()[:2] for row in rows] == [["1", "one"], ["2", "two"]]
    assert all(row.endswith("an operator deleted it") for row in rows)
    assert filtered[0] == 2
    assert "--deleted cannot be combined with a filter." in filtered[2]


def test_a_fleet_of_deleted_servers_is_listed_and_purged_at_once_if_that_is_set(
    start_api: StartApi, api: Api
) -> None:
    join(api, *(f"box-{number}" for number in range(120)), leaves=True)
    ids = [str(number) for number in range(1, 121)]
    manmanv2(api, "servers", "delete", *ids, "--yes")
    at_once = start_api("memory://", DELETED_RETENTION_DAYS="0")
    join(at_once, "box", leaves=True)
    manmanv2(at_once, "servers", "delete", "1", "--yes")

    listed = [one["server"]["server_id"] for one in json_from(api, "servers", "list", "--deleted")]
    assert listed == list(range(1, 121))
    assert json_from(at_once, "servers", "list", "--deleted") == []
    assert manmanv2(at_once, "servers", "restore", "1")[0] == 66


def test_ephemeral_servers_are_deleted_after_their_retention(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path / 'fleet.sqlite3'}"
    api = start_api(database, EPHEMERAL_RETENTION_SECONDS="1")
    # One stays online, one is not ephemeral, one leaves and one falls silent.
    start_host(api.address, SERVER_NAME="alive", EPHEMERAL="true")
    eventually(lambda: "alive" in names(api), "the host", api)
    join(api, "lasting", leaves=True)
    join(api, "leaves", ephemeral=True, leaves=True)
    join(api, "dies", ephemeral=True)
    eventually(lambda: names(api) == {"alive", "lasting"}, "the others to be deleted", api)
    deleted = json_from(api, "servers", "list", "--deleted")

    assert {one["server"]["name"] for one in deleted} == {"leaves", "dies"}
    assert {one["cause"] for one in deleted} == {"ephemeral, and offline for longer than 1 second"}
    for name in ("leaves", "dies"):
        assert api.count(f"({name}) is deleted: ephemeral, and offline for longer than") == 1
    assert servers(api.address)["alive"].ephemeral


def test_an_operator_sees_what_would_be_pruned_before_pruning(
    start_api: StartApi, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.sqlite3"
    api = start_api(f"sqlite:///{file}")
    expired = ["gone-0", "gone-1", "gone-2"]
    for name in expired:
        join(api, name, ephemeral=True, leaves=True)
    join(api, "lasting", leaves=True)
    nothing = manmanv2(api, "servers", "prune", "--yes")
    api.terminate()
    two_days_pass(file)
    api = start_api(f"sqlite:///{file}")
    join(api, "late", ephemeral=True, leaves=True)
    would = json_from(api, "servers", "prune", "--dry-run")
    looked = manmanv2(api, "servers", "prune", "--dry-run")
    refused = manmanv2(api, "servers", "prune", stdin="n\n")
    before = names(api)
    did = json_from(api, "servers", "prune", "--yes")

    assert nothing[:2] == (0, "No ephemeral server has been offline for long enough.\n")
    assert [(one["name"], one["deleted"]) for one in would] == [(name, False) for name in expired]
    assert "3 servers would be deleted." in looked[1]
    assert refused[0] == 1
    assert "Delete 3 servers with all configuration? [y/N]" in refused[1]
    assert before == {*expired, "lasting", "late"}
    assert [(one["name"], one["deleted"]) for one in did] == [(name, True) for name in expired]
    assert names(api) == {"lasting", "late"}


def test_all_servers_that_are_due_are_pruned(start_api: StartApi, tmp_path: Path) -> None:
    file = tmp_path / "fleet.sqlite3"
    api = start_api(f"sqlite:///{file}")
    join(api, *(f"gone-{number}" for number in range(130)), ephemeral=True, leaves=True)
    api.terminate()
    two_days_pass(file)
    api = start_api(f"sqlite:///{file}")
    looked = manmanv2(api, "servers", "prune", "--dry-run")
    exit_code, printed, _ = manmanv2(api, "servers", "prune", stdin="y\n")

    assert "100 servers and all other such servers would be deleted." in looked[1]
    assert exit_code == 0
    assert printed.count("deleted server ") == 130
    assert names(api) == set()


def test_an_outage_of_the_api_does_not_count_towards_the_retention(
    start_api: StartApi, start_host: StartHost, tmp_path: Path
) -> None:
    file = tmp_path / "fleet.sqlite3"
    retention = {"EPHEMERAL_RETENTION_SECONDS": "4"}
    api = start_api(f"sqlite:///{file}", **retention)
    host = start_host(api.address, SERVER_NAME="alive", EPHEMERAL="true")
    host.wait_until_logged("Registered as server 1")
    join(api, "silent", ephemeral=True)
    address = api.address
    api.kill()
    host.wait_until_logged("Trying again")
    two_days_pass(file)
    api = start_api(f"sqlite:///{file}", address=address, **retention)
    api.wait_until_logged("server 2 (silent) is deleted")

    offline, deleted = (
        _moment(next(event["timestamp"] for event in api.events if part in event["event"]))
        for part in ("Server 2 is offline", "server 2 (silent) is deleted")
    )
    assert deleted - offline >= timedelta(seconds=3.9)
    assert names(api) == {"alive"}
    assert servers(api.address)["alive"].server_id == 1
    assert host.count("Registered") == 1


def test_several_apis_delete_each_server_once(start_api: StartApi, postgres_url: str) -> None:
    apis = [start_api(postgres_url, EPHEMERAL_RETENTION_SECONDS="2") for _ in range(3)]
    count = 60
    join(apis[0], *(f"gone-{number}" for number in range(count)), ephemeral=True, leaves=True)
    eventually(lambda: not names(apis[0]), "all to be deleted", *apis)
    events = [
        event["event"] for api in apis for event in api.events if " is deleted: " in event["event"]
    ]

    assert len(events) == len(set(events)) == count
    assert [event for api in apis for event in api.events if event["level"] == "error"] == []


def deregister(stub: ManManAPIStub, **fields: Any) -> grpc.StatusCode:
    try:
        stub.Deregister(pb.DeregisterRequest(**fields))
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_a_host_deregisters_with_its_key_and_as_its_own_process(
    start_api: StartApi, postgres_url: str
) -> None:
    api = start_api(postgres_url, REGISTRATION_KEY=KEY)
    instance_id = EVIDENCE.instance_id
    with client(api.address) as stub:
        registration = pb.RegisterServerRequest(
            name="box", registration_key=KEY, evidence=pb.Evidence(**asdict(EVIDENCE))
        )
        web = stub.RegisterServer(registration).server_id
        mine = {"server_id": web, "registration_key": KEY, "instance_id": instance_id}
        codes = [
            deregister(stub, **{**mine, **wrong})
            for wrong in (
                {"registration_key": canary("other key")},
                {"registration_key": "", "server_id": 4711},
                {"server_id": 4711},
                {"instance_id": OTHER_INSTANCE},
                {"instance_id": ""},
            )
        ]
        still_there = names(api)
        left = deregister(stub, **mine)
        again = deregister(stub, **mine)

    assert [code.name for code in codes] == [
        *("PERMISSION_DENIED", "PERMISSION_DENIED", "NOT_FOUND"),
        *("FAILED_PRECONDITION", "FAILED_PRECONDITION"),
    ]
    assert still_there == {"box"}
    assert (left.name, again.name) == ("OK", "NOT_FOUND")
    assert names(api) == set()
    [deleted] = json_from(api, "servers", "list", "--deleted")
    assert deleted["cause"] == "its host left for good"


def test_a_host_that_has_only_the_key_deregisters(api: Api) -> None:
    join(api, "bare")
    with client(api.address) as stub:
        code = deregister(stub, server_id=1)

    assert (code.name, names(api)) == ("OK", set())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
