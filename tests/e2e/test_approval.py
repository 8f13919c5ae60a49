"""Hosts that wait for an operator's approval, and hosts that an operator rejects or bans."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.support.machines import FakeMachine
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    printed_by,
    run_to_end,
    servers,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def test_a_pending_host_gets_its_configuration_after_approval(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://", REGISTRATION_APPROVAL="manual")
    folder = tmp_path / "config"
    host = start_host(api.address, SERVER_NAME="web", CONFIG_DIR=str(folder), **machine.settings)
    host.wait_until_logged("`manmanv2 servers approve 1`")
    printed_by(api, "configs", "put", "1", "limits", stdin='{"players": 16}')
    joined = servers(api.address)["web"]
    eventually(
        lambda: servers(api.address)["web"].last_seen > joined.last_seen + 2, "heartbeats", host
    )

    assert (joined.approval, joined.status) == ("pending", "online")
    assert printed_by(api, "servers", "list").splitlines()[1].split()[3] == "pending"
    assert not (folder / "limits.json").exists()

    assert printed_by(api, "servers", "approve", "1") == "approved server 1 (web)\n"
    eventually((folder / "limits.json").exists, "the document", host, api)

    assert servers(api.address)["web"].approval == "approved"
    host.wait_until_logged("Server 1 was approved.")
    assert host.count("waits for an operator") == 1
    assert host.count("was approved") == 1
    assert host.terminate() == 0


def test_an_approved_host_does_not_wait_at_its_next_start(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    api = start_api("memory://", REGISTRATION_APPROVAL="manual")
    first = start_host(api.address, SERVER_NAME="web", **machine.settings)
    first.wait_until_logged("waits for an operator")
    printed_by(api, "servers", "approve", "1")
    first.terminate()
    machine.reboot()
    second = start_host(api.address, SERVER_NAME="web", **machine.settings)
    second.wait_until_logged("Registered as server 1")

    assert servers(api.address)["web"].approval == "approved"
    second.terminate()
    assert not second.logged("waits for an operator")


@pytest.mark.parametrize("decision", ["reject", "ban"])
def test_a_refused_host_ends_and_prints_the_reason(
    api: Api, start_host: StartHost, machine: FakeMachine, decision: str
) -> None:
    host = start_host(api.address, SERVER_NAME="web", **machine.settings)
    host.wait_until_logged("Registered as server 1")
    printed_by(api, "servers", decision, "1", "--reason", "it belongs to somebody else")

    refused = {"reject": "rejected", "ban": "banned"}[decision]
    assert host.wait() == 77
    assert host.events[-1]["level"] == "error"
    assert f"was {refused} by an operator: it belongs to somebody else" in host.events[-1]["event"]
    assert servers(api.address)["web"].status == "offline"
    assert servers(api.address)["web"].approval == refused


def test_a_banned_machine_is_refused_under_another_name_and_after_a_reboot(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    start_host(api.address, SERVER_NAME="web", **machine.settings).wait_until_logged("Registered")
    output = printed_by(api, "servers", "ban", "1", "--reason", "stolen")
    renamed = start_host(api.address, SERVER_NAME="innocent", **machine.settings)

    assert output == "banned server 1 (web) and its machine\n"
    assert renamed.wait() == 77
    assert renamed.logged("was banned by an operator, as server 1 (web): stolen")

    machine.reboot()
    rebooted = start_host(api.address, SERVER_NAME="innocent", **machine.settings)
    assert rebooted.wait() == 77

    other = FakeMachine.fresh(tmp_path / "other")
    start_host(api.address, SERVER_NAME="other", **other.settings).wait_until_logged("Registered")
    printed_by(api, "servers", "approve", "1")
    again = start_host(api.address, SERVER_NAME="innocent", **machine.settings)
    again.wait_until_logged("Registered")

    assert set(servers(api.address)) == {"web", "other", "innocent"}


def test_all_managers_of_a_banned_machine_end(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    dev = start_host(api.address, SERVER_NAME="web-dev", **machine.settings)
    dev.wait_until_logged("Registered")
    prod = start_host(api.address, SERVER_NAME="web-prod", **machine.settings)
    prod.wait_until_logged("Registered")
    output = printed_by(api, "servers", "ban", "1")

    assert output.splitlines() == [
        "banned server 1 (web-dev) and its machine",
        "banned server 2 (web-prod), which is on the same machine",
    ]
    assert (dev.wait(), prod.wait()) == (77, 77)
    approvals = {name: server.approval for name, server in servers(api.address).items()}
    assert approvals == {"web-dev": "banned", "web-prod": "banned"}


def test_a_ban_survives_the_api_and_a_deletion_of_the_server(
    postgres_url: str, start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_api(postgres_url)
    host = start_host(first.address, SERVER_NAME="web", **machine.settings)
    host.wait_until_logged("Registered")
    printed_by(first, "servers", "ban", "1", "--reason", "stolen")
    host.wait()
    printed_by(first, "servers", "delete", "1", "--yes")
    first.kill()
    second = start_api(postgres_url)
    refused = start_host(second.address, SERVER_NAME="other", **machine.settings)

    assert refused.wait() == 77
    output = printed_by(second, "servers", "approve", "1")
    assert output == "lifted the ban on the machine of server 1, which is deleted\n"

    start_host(second.address, SERVER_NAME="other", **machine.settings).wait_until_logged(
        "Registered"
    )


def test_several_servers_are_approved_in_one_command_with_json_output(api: Api) -> None:
    with client(api.address) as stub:
        for name in ("a", "b"):
            stub.RegisterServer(pb.RegisterServerRequest(name=name))
    rejected: Any = json.loads(printed_by(api, "servers", "reject", "1", "2", "2", "-o", "json"))
    ended = run_to_end("manmanv2", "servers", "approve", "1", "7", "2", API_ADDRESS=api.address)

    assert [(one["server_id"], one["approval"]) for one in rejected] == [
        (1, "rejected"),
        (2, "rejected"),
    ]
    assert ended.returncode == 66
    assert ended.stdout == "approved server 1 (a)\n"
    assert ended.stderr == "manmanv2: server 7 does not exist\n"


def test_a_ban_without_evidence_says_that_it_applies_to_a_name(api: Api) -> None:
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="bare"))

    assert printed_by(api, "servers", "ban", "1") == (
        "banned server 1 (bare) by its name only, because its host sent no evidence of its"
        " machine\n"
    )


def test_an_invalid_reason_is_one_sentence(api: Api) -> None:
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="bare"))
    ended = run_to_end(
        "manmanv2", "servers", "reject", "1", "--reason", "x" * 201, API_ADDRESS=api.address
    )

    assert ended.returncode == 65
    assert ended.stderr == "manmanv2: reason has 201 characters; the maximum is 200\n"
