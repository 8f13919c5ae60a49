"""How a policy decides between two machines with one name, and what a host without a name gets."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.machines import FakeMachine
from tests.support.processes import Api, Process, eventually, printed_by, servers

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


def happened(api: Api, server_id: int) -> list[str]:
    explained = json.loads(printed_by(api, "servers", "explain", str(server_id), "-o", "json"))
    return [entry["kind"] for entry in explained["history"]]


def join(start_host: StartHost, api: Api, machine: FakeMachine, **settings: str) -> Process:
    host = start_host(api.address, **machine.settings, **settings)
    host.wait_until_logged("Registered as server 1")
    return host


def test_with_the_policy_takeover_the_newcomer_gets_the_server_and_the_holder_ends(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://", NAME_CONFLICT_POLICY="takeover", HEARTBEAT_INTERVAL_SECONDS="1")
    holder = join(start_host, api, machine, SERVER_NAME="web")
    newcomer = join(
        start_host, api, FakeMachine.fresh(tmp_path / "other machine"), SERVER_NAME="web"
    )

    assert holder.wait() == os.EX_TEMPFAIL
    assert newcomer.running
    assert servers(api.address)["web"].status == "online"
    assert "taken_over" in happened(api, 1)


def test_with_the_policy_allow_both_get_the_server(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://", NAME_CONFLICT_POLICY="allow", HEARTBEAT_INTERVAL_SECONDS="1")
    hosts = [
        join(start_host, api, one, SERVER_NAME="web")
        for one in (machine, FakeMachine.fresh(tmp_path / "other machine"))
    ]
    seen = servers(api.address)["web"].last_seen
    eventually(lambda: servers(api.address)["web"].last_seen > seen + 2, "heartbeats", api, *hosts)

    assert [host.running for host in hosts] == [True, True]
    assert json.loads(printed_by(api, "conflicts", "list", "-o", "json")) == []


def test_a_machine_without_a_name_gets_its_ephemeral_server_back(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    api = start_api("memory://")
    join(start_host, api, machine).terminate()
    [before] = servers(api.address).values()
    join(start_host, api, machine)
    [after] = servers(api.address).values()

    assert before.ephemeral
    assert before.name != after.name
    assert after.status == "online"
    assert "readopted" in happened(api, 1)


def test_a_claim_is_in_the_history_of_the_server(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://")
    join(start_host, api, machine, SERVER_NAME="web")
    other = FakeMachine.fresh(tmp_path / "other machine")
    start_host(api.address, SERVER_NAME="web", **other.settings).wait_until_logged("Trying again")
    printed_by(api, "conflicts", "resolve", "1", "--rename", "web-2")

    assert happened(api, 1)[-2:] == ["contested", "conflict_resolved"]
