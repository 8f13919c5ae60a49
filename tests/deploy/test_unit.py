"""The host manager under a real systemd, with all restrictions of its unit."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.amqp.broker import Broker
from adapters.docker.machine import DockerMachine
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from domain.digest import digest
from protos.manman.v1 import manman_pb2 as pb
from tests.support.deploy.fake_docker import VERSION, fake_docker_engine
from tests.support.deploy.service_manager import ServiceManager, why_not
from tests.support.processes import Api, client, eventually, servers
from tests.support.repository import ROOT

KEY = "the key of this fleet"
UNIT = "manmanv2-host.service"
FILE = ROOT / "deploy/systemd" / UNIT
# The pause of the unit would take a test ten seconds.
DROP_IN = """
[Service]
RestartSec=200ms
StandardError=append:/run/host.log
"""


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api(
        "memory://",
        REGISTRATION_KEY=KEY,
        HEARTBEAT_INTERVAL_SECONDS="1",
        METRICS_ADDRESS="off",
    )
    yield api
    api.kill()


@pytest.fixture
def manager(tmp_path: Path, api: Api) -> Iterator[ServiceManager]:
    """A systemd with the unit, and with the files that an operator puts into /etc/manmanv2."""
    if reason := why_not():
        pytest.skip(reason)
    manager = ServiceManager(tmp_path)
    manager.add_unit(FILE)
    manager.add_drop_in(UNIT, DROP_IN)
    try:
        manager.start()
        manager.write("/etc/manmanv2/registration-key", f"{KEY}\n")
        manager.write(
            "/etc/manmanv2/host.env",
            # By name, because the unit must allow a name lookup too.
            f"API_ADDRESS={api.address.replace('127.0.0.1', 'localhost')}\n"
            "SERVER_NAME=mars\nDOCKER_OPTIONAL=true\n",
        )
        yield manager
    finally:
        manager.stop()


def start(manager: ServiceManager) -> None:
    """Fails with the log of the host manager unless it is up."""
    done = manager.try_systemctl("start", UNIT)
    assert done.returncode == 0, log_of(manager)


def log_of(manager: ServiceManager) -> str:
    log = manager.root / "run/host.log"
    return log.read_text() if log.exists() else "no log"


def main_process(manager: ServiceManager) -> int:
    """Its process id outside the namespace of that systemd."""
    [pid] = (manager.root / f"sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").read_text().split()
    return int(pid)


def test_a_host_under_its_unit_joins_and_has_access_to_docker(
    manager: ServiceManager, api: Api
) -> None:
    group = next(
        int(line.split(":")[2])
        for line in (manager.root / "etc/group").read_text().splitlines()
        if line.startswith("docker:")
    )
    with fake_docker_engine(manager.root / "run/docker.sock", group):
        start(manager)

        assert manager.show(UNIT, "ActiveState") == "active"
        assert manager.show(UNIT, "StatusText") == "running"
        assert servers(api.address)["mars"].status == "online"
        assert eventually(
            lambda: servers(api.address)["mars"].capabilities.docker_version == VERSION,
            "the version of Docker",
            api,
        )


def test_a_host_has_no_privileges(manager: ServiceManager) -> None:
    start(manager)
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{main_process(manager)}/status").read_text().splitlines()
    )

    assert int(status["Uid"].split()[0]) >= 61184, "a user that systemd created for it"
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_a_host_writes_its_configuration_where_its_unit_says(
    manager: ServiceManager, api: Api
) -> None:
    start(manager)
    server_id = servers(api.address)["mars"].server_id
    with client(api.address) as stub:
        stub.PutConfiguration(
            pb.PutConfigurationRequest(server_id=server_id, name="game", document='{"slots": 8}')
        )
    document = manager.root / "var/lib/manmanv2-host/config/game.json"
    eventually(document.exists, "the document")

    assert document.read_text() == '{"slots": 8}'
    assert document.stat().st_mode & 0o077 == 0


def saved_state(manager: ServiceManager) -> dict[str, Any]:
    file = manager.root / "var/lib/manmanv2-host/state/state.json"
    state: dict[str, Any] = json.loads(file.read_bytes())
    return state


def add_drop_in(manager: ServiceManager, text: str) -> None:
    manager.write(f"/etc/units/{UNIT}.d/zz.conf", f"[Service]\n{text}", mode=0o644)
    manager.systemctl("daemon-reload")


def test_a_host_saves_its_identity_where_its_unit_says(manager: ServiceManager) -> None:
    start(manager)
    first = saved_state(manager)
    manager.systemctl("restart", UNIT)
    again = saved_state(manager)

    assert (first["server_id"], first["name"], first["epoch"]) == (1, "mars", 1)
    assert (again["server_id"], again["name"], again["epoch"]) == (1, "mars", 2)
    assert first["evidence"] == again["evidence"]
    assert first["evidence"]["boot_id"]


@pytest.mark.parametrize("has_one", [True, False])
def test_a_host_gets_the_hardware_id_that_only_root_can_read(
    manager: ServiceManager, has_one: bool
) -> None:
    # Instead of /sys/class/dmi/id/product_uuid, which not every machine has.
    hardware_id = "4c4c4544-0042-3510-8052-b3c04f4b4e32"
    if has_one:
        manager.write("/etc/product-uuid", f"{hardware_id}\n", mode=0o400)
    lines = re.findall(r"^LoadCredential=.*$", FILE.read_text(), re.MULTILINE)
    moved = [line.replace("/sys/class/dmi/id/product_uuid", "/etc/product-uuid") for line in lines]
    assert moved != lines
    # Otherwise the host manager reads the file of the machine first.
    root = "Environment=HOST_ROOT=/nowhere"
    add_drop_in(manager, "\n".join(["LoadCredential=", *moved, root]))
    start(manager)
    expected = digest("hardware-id", hardware_id.replace("-", "")) if has_one else ""

    assert saved_state(manager)["evidence"]["hardware_id"] == expected


def test_a_replaced_host_is_not_restarted(manager: ServiceManager, api: Api) -> None:
    start(manager)
    with client(api.address) as stub:
        stub.RegisterServer(pb.RegisterServerRequest(name="mars", registration_key=KEY))
    eventually(lambda: manager.show(UNIT, "SubState") == "failed", "the host manager to end")

    assert manager.show(UNIT, "ExecMainStatus") == str(os.EX_TEMPFAIL)
    assert manager.show(UNIT, "NRestarts") == "0"
    assert "Another host manager has replaced this one" in log_of(manager)


def test_stopping_the_unit_takes_the_server_offline(manager: ServiceManager, api: Api) -> None:
    start(manager)
    manager.systemctl("stop", UNIT)

    assert manager.show(UNIT, "Result") == "success"
    assert servers(api.address)["mars"].status == "offline"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_host_that_crashes_or_hangs_is_restarted_and_keeps_its_id(
    manager: ServiceManager, api: Api, sign: signal.Signals
) -> None:
    # The watchdog of the unit would take a minute and a half. On a busy machine, this one may
    # restart the host once more.
    add_drop_in(manager, "WatchdogSec=5s")
    start(manager)
    before = servers(api.address)["mars"]
    os.kill(main_process(manager), sign)
    eventually(lambda: int(manager.show(UNIT, "NRestarts")) >= 1, "another start")
    eventually(lambda: manager.show(UNIT, "ActiveState") == "active", "the host manager")

    # In a container without Docker the boot id is the only evidence of a machine. Then the host
    # waits until the server of its earlier process is offline.
    eventually(
        lambda: log_of(manager).count("Registered as server 1 under the name mars.") >= 2,
        "another registration",
    )
    assert servers(api.address)["mars"].server_id == before.server_id


@pytest.mark.parametrize(
    ("path", "text", "code", "sentence"),
    [
        ("/etc/manmanv2/registration-key", "another key", os.EX_NOPERM, "invalid registration key"),
        ("/etc/manmanv2/host.env", "API_ADDRESS=nowhere", os.EX_CONFIG, "must be HOST:PORT"),
    ],
)
def test_a_problem_that_a_person_must_fix_is_not_retried(
    manager: ServiceManager, path: str, text: str, code: int, sentence: str
) -> None:
    manager.write(path, text)
    done = manager.try_systemctl("start", UNIT)

    assert done.returncode != 0
    assert manager.show(UNIT, "ExecMainStatus") == str(code)
    assert manager.show(UNIT, "SubState") == "failed"
    assert sentence in log_of(manager)


def test_no_single_step_of_a_host_outlasts_its_watchdog() -> None:
    [watchdog] = re.findall(r"^WatchdogSec=(\d+)$", FILE.read_text(), re.MULTILINE)
    # With a new connection, an answer over AMQP takes ten waits.
    over_amqp = 10 * Broker.seconds
    longest = max(DockerMachine.timeout_seconds, GrpcControlPlane.call_seconds, over_amqp)

    assert int(watchdog) > longest
