"""The host manager as a real systemd runs it, with all that its unit forbids it."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.amqp.broker import Broker
from adapters.docker.machine import DockerMachine
from adapters.grpc.control_plane import GrpcControlPlane
from protos.manman.v1 import manman_pb2 as pb
from tests.deploy.docker_stand_in import VERSION, docker_stand_in
from tests.deploy.service_manager import ServiceManager, why_not
from tests.e2e.processes import Api, client, eventually, servers

KEY = "the key of this fleet"
UNIT = "manmanv2-host.service"
FILE = Path(__file__).parents[2] / "deploy/systemd" / UNIT
# What the unit has for machines would take a test minutes.
DROP_IN = """
[Service]
RestartSec=200ms
WatchdogSec=2s
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
    """It knows the unit, and has what an operator puts into /etc/manmanv2."""
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
            # By name, because a look-up must be allowed, too.
            f"API_ADDRESS={api.address.replace('127.0.0.1', 'localhost')}\n"
            "SERVER_NAME=mars\nDOCKER_OPTIONAL=true\n",
        )
        yield manager
    finally:
        manager.stop()


def start(manager: ServiceManager) -> None:
    """Fails, with what the host manager said, unless it is up."""
    done = manager.try_systemctl("start", UNIT)
    assert done.returncode == 0, said(manager)


def said(manager: ServiceManager) -> str:
    log = manager.root / "run/host.log"
    return log.read_text() if log.exists() else "nothing"


def main_process(manager: ServiceManager) -> int:
    """Its id for us, and not for whom it runs under."""
    [pid] = (manager.root / f"sys/fs/cgroup/system.slice/{UNIT}/cgroup.procs").read_text().split()
    return int(pid)


def test_a_host_joins_under_its_unit_and_may_use_docker(manager: ServiceManager, api: Api) -> None:
    group = next(
        int(line.split(":")[2])
        for line in (manager.root / "etc/group").read_text().splitlines()
        if line.startswith("docker:")
    )
    with docker_stand_in(manager.root / "run/docker.sock", group):
        start(manager)

    assert manager.show(UNIT, "ActiveState") == "active"
    assert manager.show(UNIT, "StatusText") == "running"
    assert servers(api.address)["mars"].status == "online"
    assert servers(api.address)["mars"].capabilities.docker_version == VERSION


def test_a_host_has_no_rights_of_its_own(manager: ServiceManager) -> None:
    start(manager)
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{main_process(manager)}/status").read_text().splitlines()
    )

    assert int(status["Uid"].split()[0]) >= 61184, "a user that systemd made for it"
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_a_host_keeps_its_configuration_where_its_unit_says(
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


def test_stopping_the_unit_takes_the_server_offline(manager: ServiceManager, api: Api) -> None:
    start(manager)
    manager.systemctl("stop", UNIT)

    assert manager.show(UNIT, "Result") == "success"
    assert servers(api.address)["mars"].status == "offline"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_host_that_crashes_or_hangs_is_started_again_and_keeps_its_id(
    manager: ServiceManager, api: Api, sign: signal.Signals
) -> None:
    start(manager)
    before = servers(api.address)["mars"]
    os.kill(main_process(manager), sign)
    eventually(lambda: manager.show(UNIT, "NRestarts") == "1", "another start")
    eventually(lambda: manager.show(UNIT, "ActiveState") == "active", "the host manager")

    assert servers(api.address)["mars"].server_id == before.server_id
    assert said(manager).count("Registered as server 1 under the name mars.") == 2


@pytest.mark.parametrize(
    ("path", "text", "code", "sentence"),
    [
        ("/etc/manmanv2/registration-key", "another key", os.EX_NOPERM, "invalid registration key"),
        ("/etc/manmanv2/host.env", "API_ADDRESS=nowhere", os.EX_CONFIG, "must be HOST:PORT"),
    ],
)
def test_what_somebody_has_to_mend_is_not_tried_again(
    manager: ServiceManager, path: str, text: str, code: int, sentence: str
) -> None:
    manager.write(path, text)
    done = manager.try_systemctl("start", UNIT)

    assert done.returncode != 0
    assert manager.show(UNIT, "ExecMainStatus") == str(code)
    assert manager.show(UNIT, "SubState") == "failed"
    assert sentence in said(manager)


def test_no_single_step_of_a_host_outlasts_its_watchdog() -> None:
    [watchdog] = re.findall(r"^WatchdogSec=(\d+)$", FILE.read_text(), re.MULTILINE)
    # An answer over AMQP takes as many waits, if the connection has to be made first.
    over_amqp = 10 * Broker.seconds
    longest = max(DockerMachine.timeout_seconds, GrpcControlPlane.call_seconds, over_amqp)

    assert int(watchdog) > longest
