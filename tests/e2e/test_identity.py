"""How a real API identifies real hosts: started twice, cloned, with damaged state, renamed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.support.canary_secrets import canary
from tests.support.machines import FakeMachine
from tests.support.processes import (
    Api,
    Process,
    client,
    eventually,
    json_from,
    printed_by,
    run_to_end,
    servers,
)

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]


@pytest.fixture
def sparta(tmp_path: Path) -> FakeMachine:
    """Another machine."""
    return FakeMachine.fresh(tmp_path / "sparta")


def registered(host: Process) -> tuple[int, str]:
    """The host's server_id and name."""
    host.wait_until_logged("Registered as server")
    [*_, event] = [one for one in host.events if one["event"].startswith("Registered as server")]
    return event["server_id"], event["server_name"]


def state_of(machine: FakeMachine) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((machine.state_dir / "state.json").read_bytes())
    return state


def warnings(host: Process) -> list[str]:
    return [
        event["event"]
        for event in host.events
        if event["level"] == "warning" and "Docker" not in event["event"]
    ]


# Started twice


def test_the_later_of_two_managers_with_one_name_gets_the_server(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_host(api.address, SERVER_NAME="web", **machine.settings)
    server_id, _ = registered(first)
    second = start_host(api.address, SERVER_NAME="web", **machine.settings)

    assert registered(second) == (server_id, "web")
    assert first.wait() == 75
    [error] = [event["event"] for event in first.events if event["level"] == "error"]
    assert error.startswith(
        "Another host manager has replaced this one: Server 1 was registered"
        " again by another host manager from 127.0.0.1 at "
    )
    assert error.endswith(
        ": stop one of the two, or give each a SERVER_NAME or an ENVIRONMENT of its own."
    )
    assert not first.logged("Stopped")
    # A leaving heartbeat of the first host must not take its successor offline.
    assert servers(api.address)["web"].status == "online"
    assert second.running
    assert second.terminate() == 0


def test_two_managers_cannot_share_a_state_directory(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)
    registered(first)
    second = start_host(api.address, SERVER_NAME="db", **machine.settings_with_state)

    assert second.wait() == 78
    assert second.events[-1]["event"] == (
        f"STATE_DIR {machine.state_dir} is in use by another host manager: stop that one, or give"
        " this one a STATE_DIR of its own."
    )
    assert servers(api.address).keys() == {"web"}
    assert first.running


# Restarts


def test_a_host_without_an_environment_keeps_its_name_and_its_id(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    seen = []
    for _ in range(3):
        host = start_host(api.address, **machine.settings_with_state)
        seen.append(registered(host))
        assert warnings(host) == []
        assert host.terminate() == 0
        machine.reboot()

    assert len(set(seen)) == 1
    assert servers(api.address).keys() == {seen[0][1]}
    assert servers(api.address)[seen[0][1]].ephemeral
    assert (state_of(machine)["epoch"], state_of(machine)["ephemeral"]) == (3, True)


def test_a_killed_host_is_back_at_once_after_a_reboot(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_host(api.address, **machine.settings_with_state)
    seen = registered(first)
    first.kill()
    machine.reboot()
    second = start_host(api.address, **machine.settings_with_state)

    assert registered(second) == seen
    assert not second.logged("Trying again")


@pytest.fixture
def as_hostname(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a command that runs the host manager with a hostname of its own, like a container
    does."""
    if subprocess.run(["unshare", "--uts", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root can give a process a hostname of its own")

    def make(hostname: str) -> Path:
        command = Path(sys.executable).with_name("manmanv2-host")
        wrapped = tmp_path / hostname
        wrapped.write_text(
            f"#!/bin/sh\nexec unshare --uts sh -c 'hostname {hostname}; exec {command}'\n"
        )
        wrapped.chmod(0o755)
        return wrapped

    return make


def test_a_recreated_container_with_another_hostname_is_the_same_server(
    api: Api, machine: FakeMachine, as_hostname: Callable[[str], Path]
) -> None:
    seen, counts = [], []
    for hostname in ("3f2c9d1b7a60", "b81e44c0d9f2"):
        host = Process(
            str(as_hostname(hostname)),
            API_ADDRESS=api.address,
            DOCKER_SOCKET=str(machine.root / "no-docker.sock"),
            DOCKER_OPTIONAL="true",
            ENVIRONMENT="production",
            **machine.settings_with_state,
        )
        try:
            seen.append(registered(host))
        finally:
            host.terminate()
        counts.append(host.count("from the last start (STATE_DIR)"))

    assert seen == [(1, "3f2c9d1b7a60-production")] * 2
    assert counts == [0, 1]
    assert servers(api.address).keys() == {"3f2c9d1b7a60-production"}


# Copies


def test_a_state_copied_to_another_machine_is_set_aside(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    original = start_host(api.address, **machine.settings_with_state)
    server_id, name = registered(original)
    clone = machine.clone(tmp_path / "clone")
    copied = start_host(api.address, **clone.settings_with_state)
    its_id, its_name = registered(copied)

    assert (its_id != server_id, its_name != name) == (True, True)
    [warning] = warnings(copied)
    assert warning.startswith(
        f"STATE_DIR was copied from another machine, server {server_id} ({name}), which differs in"
        f" hardware id and boot id: the state was moved to {clone.state_dir}/state.json"
    )
    assert (clone.state_dir / "state.json.of-another-machine").exists()
    assert state_of(clone)["server_id"] == its_id
    assert original.running
    assert servers(api.address)[name].status == servers(api.address)[its_name].status == "online"


def test_a_clone_that_claims_a_name_waits_until_it_is_free(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    original = start_host(api.address, SERVER_NAME="web", **machine.settings)
    server_id, _ = registered(original)
    clone = machine.clone(tmp_path / "clone")
    waiting = start_host(api.address, SERVER_NAME="web", **clone.settings)
    message = waiting.wait_until_logged("Trying again until it is free.")
    eventually(lambda: _claims(api) > 2, "more tries", waiting)

    assert message.startswith(
        f"The name 'web' is held by server {server_id}, another machine at 127."
    )
    assert warnings(waiting) == [message]
    assert original.running
    original.terminate()
    assert registered(waiting) == (server_id, "web")
    assert waiting.logged("This host has the name now.")


def _claims(api: Api) -> int:
    with client(api.address) as stub:
        conflicts = stub.ListConflicts(pb.ListConflictsRequest()).conflicts
    return sum(conflict.claims for conflict in conflicts)


def test_a_reinstalled_machine_gets_its_server_with_its_configuration(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    first = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)
    seen = registered(first)
    printed_by(api, "configs", "put", str(seen[0]), "limits", stdin="{}")
    first.terminate()
    machine.reimage()
    folder = tmp_path / "config"
    again = start_host(
        api.address, SERVER_NAME="web", CONFIG_DIR=str(folder), **machine.settings_with_state
    )

    assert registered(again) == seen
    eventually((folder / "limits.json").exists, "the document", again)
    history = json_from(api, "servers", "explain", str(seen[0]))["history"]
    [taken_over] = [entry for entry in history if entry["kind"] == "taken_over"]
    assert "hardware_id" in taken_over["agreeing"]
    assert "machine_id" in taken_over["differing"]


def test_a_restored_state_recognises_its_reinstalled_machine(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    first = start_host(api.address, **machine.settings_with_state)
    seen = registered(first)
    first.terminate()
    backup = tmp_path / "backup"
    shutil.copytree(machine.state_dir, backup)
    machine.reimage()
    shutil.copytree(backup, machine.state_dir)

    assert registered(start_host(api.address, **machine.settings_with_state)) == seen


# Damage


def test_a_damaged_state_is_set_aside_and_the_host_starts_without_it(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_host(api.address, **machine.settings_with_state)
    _, name = registered(first)
    first.terminate()
    state = machine.state_dir / "state.json"
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    second = start_host(api.address, **machine.settings_with_state)

    assert registered(second)[1] != name
    [warning] = warnings(second)
    assert warning.startswith(f"{state} is damaged: it was renamed to {state}.damaged, and this")
    assert state.with_name("state.json.damaged").read_bytes() == content[: len(content) // 2]
    assert second.terminate() == 0
    assert warnings(start_host(api.address, **machine.settings_with_state)) == []


def test_a_state_directory_that_cannot_be_created_is_one_warning(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    machine.state_dir.parent.mkdir(parents=True, exist_ok=True)
    machine.state_dir.touch()
    host = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)

    assert registered(host) == (1, "web")
    assert [warning.partition(":")[0] for warning in warnings(host)] == [
        "This host's state cannot be stored in STATE_DIR (Not a directory)"
    ]
    assert host.terminate() == 0


# An operator's decision


def test_a_host_that_waits_for_approval_fetches_nothing(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    api = start_api("memory://", REGISTRATION_APPROVAL="manual")
    folder = tmp_path / "config"
    host = start_host(
        api.address, SERVER_NAME="web", CONFIG_DIR=str(folder), **machine.settings_with_state
    )
    server_id, _ = registered(host)
    with client(api.address) as stub:
        stub.PutConfiguration(
            pb.PutConfigurationRequest(server_id=server_id, name="game", document="{}")
        )
        before = stub.GetServer(pb.GetServerRequest(server_id=server_id)).server.last_seen
        eventually(
            lambda: (
                stub.GetServer(pb.GetServerRequest(server_id=server_id)).server.last_seen
                > before + 1
            ),
            "two more heartbeats",
            host,
        )

        assert not (folder / "game.json").exists()
        assert host.count(f"Server {server_id} waits for an operator's approval") == 1
        stub.ApproveServer(pb.ApproveServerRequest(server_id=server_id))
    eventually((folder / "game.json").exists, "the document", host)

    assert host.count(f"Server {server_id} was approved.") == 1


def test_a_rejected_host_ends_and_prints_the_reason(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    host = start_host(api.address, SERVER_NAME="web", **machine.settings)
    server_id, _ = registered(host)
    with client(api.address) as stub:
        stub.RejectServer(pb.RejectServerRequest(server_id=server_id, reason="nobody knows it"))

    assert host.wait() == 77
    assert host.events[-1]["event"] == (
        f"The API does not admit this host: Server {server_id} (web) was rejected by an operator:"
        " nobody knows it."
    )


def test_operators_see_the_evidence_that_a_host_reports(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    host = start_host(
        api.address,
        SERVER_NAME="web",
        LABELS="region=nyc,tier=gold",
        EPHEMERAL="true",
        **machine.settings,
    )
    registered(host)
    server = servers(api.address)["web"]

    assert dict(server.labels) == {"region": "nyc", "tier": "gold"}
    assert server.ephemeral
    assert server.machine == server.server_id


def test_no_identifier_leaves_the_machine(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    """Neither in the state nor in the log."""
    with machine.docker() as settings:
        host = start_host(
            api.address,
            ENVIRONMENT="production",
            **{**machine.settings_with_state, **settings, "DOCKER_OPTIONAL": "false"},
            LOG_LEVEL="debug",
        )
        registered(host)
        host.terminate()
    stored = state_of(machine)["evidence"]
    text = f"{stored}{host.events}".lower()

    assert all(len(digest) == 32 for digest in stored.values())
    assert len(set(stored.values())) == 4
    for path in machine.identifiers:
        assert path.read_text().strip().lower() not in text
        assert path.read_text().strip().replace("-", "").lower() not in text


# Deregistration


def test_a_host_that_deregisters_when_it_stops_can_be_restored(
    start_api: StartApi, start_host: StartHost, machine: FakeMachine
) -> None:
    key = canary("registration key")
    api = start_api("memory://", REGISTRATION_KEY=key)
    host = start_host(
        api.address,
        "--deregister-on-exit",
        REGISTRATION_KEY=key,
        **machine.settings_with_state,
    )
    server_id, name = registered(host)

    assert host.terminate() == 0
    assert host.events[-1]["event"] == (
        f"Stopped and deregistered; `manmanv2 servers restore {server_id}` brings the server back."
    )
    assert servers(api.address) == {}
    assert not (machine.state_dir / "state.json").exists()
    with client(api.address) as stub:
        restored = stub.RestoreServer(pb.RestoreServerRequest(server_id=server_id)).server
    assert (restored.server_id, restored.name) == (server_id, name)


def test_a_host_that_cannot_deregister_reports_it_and_keeps_its_state(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    host = start_host(api.address, DEREGISTER_ON_EXIT="true", **machine.settings_with_state)
    server_id, _ = registered(host)
    api.kill()

    assert host.terminate() == 0
    assert host.logged(
        f"Stopped without deregistering server {server_id}: The API at {api.address}"
    )
    assert state_of(machine)["server_id"] == server_id


def deregister(api: Api, machine: FakeMachine, **settings: str) -> subprocess.CompletedProcess[str]:
    return run_to_end(
        "manmanv2-host",
        "deregister",
        API_ADDRESS=api.address,
        **{**machine.settings_with_state, **settings},
    )


def test_a_stopped_host_is_deregistered_by_command(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    host = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)
    registered(host)
    too_early = deregister(api, machine)
    host.terminate()
    done = deregister(api, machine)
    again = deregister(api, machine)

    assert (too_early.returncode, done.returncode, again.returncode) == (78, 0, 78)
    assert "is in use by another host manager: stop that one" in too_early.stderr
    assert done.stdout == (
        "Deregistered server 1 (web); `manmanv2 servers restore 1` brings it back.\n"
    )
    assert again.stderr == (
        "manmanv2-host: STATE_DIR contains no state of a registered host: delete a server by its"
        " id instead, with `manmanv2 servers delete ID`.\n"
    )
    assert servers(api.address) == {}


def test_a_running_host_is_not_deregistered_by_command(
    api: Api, start_host: StartHost, machine: FakeMachine
) -> None:
    first = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)
    registered(first)
    first.terminate()
    second = start_host(api.address, SERVER_NAME="web", **machine.settings)
    registered(second)
    refused = deregister(api, machine)

    assert refused.returncode == 75
    assert refused.stderr.startswith(
        "manmanv2-host: Another host manager has replaced this one: Server 1 was registered again"
    )
    assert servers(api.address)["web"].status == "online"
    assert second.running


def test_a_copied_state_cannot_deregister_its_owner(
    api: Api, start_host: StartHost, machine: FakeMachine, tmp_path: Path
) -> None:
    registered(start_host(api.address, SERVER_NAME="web", **machine.settings_with_state))
    refused = deregister(api, machine.clone(tmp_path / "clone"))

    assert refused.returncode == 78
    assert "STATE_DIR was copied from another machine, server 1 (web): delete" in refused.stderr
    assert servers(api.address)["web"].status == "online"


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"STATE_DIR": ""}, 78, "STATE_DIR: must be set to the state directory"),
        (
            {"STATE_DIR": "/etc/passwd"},
            78,
            "STATE_DIR /etc/passwd cannot be used (Not a directory): fix the directory or its",
        ),
        ({"API_ADDRESS": "127.0.0.1:1"}, 69, "The API at 127.0.0.1:1 (API_ADDRESS) is not there"),
    ],
)
def test_an_impossible_deregistration_is_one_sentence(
    settings: dict[str, str],
    code: int,
    message: str,
    api: Api,
    start_host: StartHost,
    machine: FakeMachine,
) -> None:
    host = start_host(api.address, SERVER_NAME="web", **machine.settings_with_state)
    registered(host)
    host.terminate()
    ended = run_to_end(
        "manmanv2-host",
        "deregister",
        **{"API_ADDRESS": api.address, **machine.settings_with_state, **settings},
    )

    assert ended.returncode == code
    assert ended.stderr.startswith(f"manmanv2-host: {message}")
    assert ended.stderr.count("\n") == 1
    assert (machine.state_dir / "state.json").exists()
