"""The production stack of docker/compose.yaml, and its failures."""

import json
import os
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.processes import eventually, run_to_end
from tests.support.stack.deployment import API, HOST, INTERVAL_SECONDS, Deployment

SERVICES = ("postgres", "rabbitmq", API, HOST)


@pytest.fixture
def machine(stack: Deployment) -> str:
    """The name of this machine in Docker."""
    return stack.docker("info", "--format", "{{.Name}}").strip()


def last_seen(server: dict[str, str]) -> float:
    return datetime.fromisoformat(server["last_seen"]).timestamp()


def test_every_part_is_healthy(stack: Deployment) -> None:
    health = {
        f"{service} {container}": stack.state(container)["Health"]["Status"]
        for service in SERVICES
        for container in stack.containers(service)
    }

    assert set(health.values()) == {"healthy"}
    assert len(health) == 5


def test_no_part_can_write_to_its_image_or_has_root_rights(stack: Deployment) -> None:
    for service in SERVICES:
        for container in stack.containers(service):
            status = Path(f"/proc/{stack.state(container)['Pid']}/status").read_text()
            rights = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            written = stack.docker("exec", container, "sh", "-c", "touch /usr/x 2>&1; true")

            assert "0" not in rights["Uid"].split(), service
            assert int(rights["CapBnd"], 16) == 0, service
            assert rights["NoNewPrivs"] == "1", service
            assert "Read-only file system" in written, service


def test_hosts_have_the_machines_name_and_not_their_containers(
    stack: Deployment, machine: str
) -> None:
    servers = stack.servers()

    assert servers["production"]["name"] == f"{machine}-production"
    assert servers["dev"]["name"] == f"{machine}-dev"
    assert {server["status"] for server in servers.values()} == {"online"}
    assert len(servers) == 2


def test_an_operator_on_this_machine_reaches_every_api_with_the_key(stack: Deployment) -> None:
    key = {"OPERATOR_KEY_FILE": str(stack.folder / "secrets/operator_key")}
    addresses = {stack.published(api) for api in stack.containers(API)}
    answers = [
        run_to_end("manmanv2", "servers", "list", API_ADDRESS=address, **variables)
        for address in addresses
        for variables in ({}, key)
    ]

    assert len(addresses) == 2
    assert [answer.returncode for answer in answers] == [os.EX_NOPERM, os.EX_OK] * 2
    assert all("production" in answer.stdout for answer in answers[1::2])


def test_a_host_that_may_not_use_dockers_socket_says_what_to_do(stack: Deployment) -> None:
    host = stack.docker(
        *("run", "--detach", "--read-only", "--network", "none"),
        *("--volume", f"{stack.docker.socket}:/var/run/docker.sock", stack.images.host),
    ).strip()
    try:
        stack.wait_until_logged(host, "cannot be used by this user (uid 10001)")
    finally:
        stack.docker("rm", "--force", host)


def test_the_doctor_runs_in_the_hosts_container(stack: Deployment) -> None:
    report = stack.docker("exec", stack.production_host, "manmanv2", "doctor", "host").splitlines()
    outcomes = {line.split()[1]: line.split()[0] for line in report[1:]}

    assert {outcomes[check] for check in ("Docker", "Name", "Broker", "API", "Key")} == {"ok"}


def test_a_command_whose_libraries_the_image_lacks_says_where_to_run_it(
    stack: Deployment,
) -> None:
    script = "DATABASE_URL=postgresql://db/x manmanv2 db upgrade 2>&1; echo $?"
    output = stack.docker("exec", stack.production_host, "sh", "-c", script).splitlines()

    assert output[-1] == str(os.EX_UNAVAILABLE)
    assert output[0].startswith("manmanv2: this command needs ")
    assert len(output) == 2


def test_a_host_in_a_new_container_is_the_same_server_and_keeps_its_configuration(
    stack: Deployment,
) -> None:
    old = stack.production_host
    before = stack.servers()["production"]
    limits = json.dumps({"cpu": 2})
    stack.operator("configs", "put", str(before["server_id"]), "limits", stdin=limits)
    eventually(lambda: stack.written(old, "limits.json") == limits, "the configuration")
    subscriber = stack.subscriber()
    stack.docker("rm", "--force", old)
    stack.compose("up", "--detach", "--no-deps", HOST)
    new = stack.production_host
    stack.wait_until_logged(new, f"Registered as server {before['server_id']} under")
    # Wait for the event, because later tests receive events too.
    eventually(lambda: "replaced" in subscriber.kinds(before["server_id"]), "its event")
    after = stack.servers()["production"]

    assert stack.docker.inspect(new)[0]["Config"]["Hostname"] not in old
    assert (after["server_id"], after["name"]) == (before["server_id"], before["name"])
    assert after["config_revision"] > before["config_revision"]
    assert stack.written(new, "limits.json") == limits


def test_a_crashed_host_restarts_as_the_same_server(stack: Deployment) -> None:
    host = stack.production_host
    server_id = stack.servers()["production"]["server_id"]
    registered = f"Registered as server {server_id} under"
    registrations = stack.docker.log(host).count(registered)
    subscriber = stack.subscriber()
    os.kill(stack.state(host)["Pid"], signal.SIGKILL)
    eventually(
        lambda: stack.docker.log(host).count(registered) > registrations, "it to register again"
    )
    # Wait for the event, because later tests receive events too.
    eventually(lambda: subscriber.kinds(server_id) == ["replaced"], "its event")

    assert stack.production_host == host
    assert stack.docker.inspect(host)[0]["RestartCount"] == 1


@pytest.mark.parametrize("action", ["kill", "pause"])
def test_the_fleet_stays_online_when_one_of_two_apis_dies_or_freezes(
    stack: Deployment, action: str
) -> None:
    subscriber = stack.subscriber()
    server_ids = [server["server_id"] for server in stack.servers().values()]
    connected = eventually(lambda: stack.api_of(stack.production_host), "a connection to an API")
    (left,) = set(stack.containers(API)) - {connected}
    with stack.disrupted(action, connected):
        # Wait longer than a server may be silent.
        until = time.time() + 3 * INTERVAL_SECONDS
        eventually(
            lambda: all(last_seen(server) > until for server in stack.servers(left).values()),
            "heartbeats to go on",
            seconds=600,
        )
        for server_id in server_ids:
            stack.operator("configs", "put", str(server_id), "limits", stdin="{}", at=left)
        # Events of a server keep their order.
        eventually(lambda: all(map(subscriber.kinds, server_ids)), "an event of each server")

    assert [subscriber.kinds(server_id) for server_id in server_ids] == [["configured"]] * 2


def test_a_stopped_host_is_offline_at_once_and_reports_it(stack: Deployment) -> None:
    subscriber = stack.subscriber()
    host = stack.production_host
    server_id = stack.servers()["production"]["server_id"]
    stack.docker("stop", host)
    stopped = stack.servers()["production"]["status"]
    exit_code = stack.state(host)["ExitCode"]
    stack.docker("start", host)
    eventually(lambda: subscriber.kinds(server_id) == ["offline", "online"], "both events")

    assert stopped == "offline"
    assert exit_code == os.EX_OK


def test_no_secret_is_known_to_the_engine_or_printed_by_a_part(stack: Deployment) -> None:
    containers = stack.containers()
    images = (stack.images.api, stack.images.host)
    texts = {
        "inspect": json.dumps(stack.docker.inspect(*containers, *images)),
        **{f"log of {container}": stack.docker.log(container) for container in containers},
        **{f"history of {name}": stack.docker("history", "--no-trunc", name) for name in images},
    }
    leaks = [
        (name, place)
        for name, text in stack.secrets.items()
        for place in texts
        if text in texts[place]
    ]

    assert len(containers) == 7
    assert leaks == []


def test_secrets_are_created_once_and_kept(stack: Deployment) -> None:
    before = stack.secrets
    stack.make_secrets()

    assert stack.secrets == before
    assert len(set(before.values())) == 4
    assert all(len(text) == 64 for text in before.values())
