import os
import socket
import threading
import time
from pathlib import Path

import pytest

from adapters.system.container_detection import runs_in_container
from adapters.system.fallback_machine import FallbackMachine
from adapters.system.psutil_machine import PsutilMachine
from adapters.system.sleep import InterruptibleSleep
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport
from domain.capabilities import Capabilities, check_capabilities
from tests.support.fakes import CAPABILITIES, FakeMachine

WITH_DOCKER = MachineReport("mars", CAPABILITIES)
ITSELF = MachineReport("mars", Capabilities(total_memory_mb=4096, cpu_cores=2))


@pytest.fixture
def machine() -> Machine:
    return PsutilMachine()


def test_a_machine_knows_itself_without_docker(machine: Machine) -> None:
    report = machine.report()

    assert report.hostname == socket.gethostname()
    assert report.capabilities.cpu_cores == os.cpu_count()
    physical_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    assert report.capabilities.total_memory_mb == physical_mb
    assert report.capabilities.available_memory_mb > 0
    assert report.capabilities.docker_version == ""


def test_what_a_machine_says_of_itself_is_always_possible(machine: Machine) -> None:
    for _ in range(20):
        check_capabilities(machine.report().capabilities)


# Without Docker, where that is allowed


def test_a_machine_falls_back_to_its_own_figures_and_says_so_once_per_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    away = EngineUnavailable("Docker is away.")
    docker = FakeMachine([WITH_DOCKER, away, away, WITH_DOCKER, WITH_DOCKER, away])
    machine = FallbackMachine(docker, FakeMachine([ITSELF] * 3))

    reports = [machine.report() for _ in range(6)]

    assert reports == [WITH_DOCKER, ITSELF, ITSELF, WITH_DOCKER, WITH_DOCKER, ITSELF]
    assert caplog.messages == [
        "Docker is away. The machine's own figures are used instead.",
        "Docker answers: its figures are used again.",
        "Docker is away. The machine's own figures are used instead.",
    ]


# In a container


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_a_container_is_known_by_the_mark_of_its_engine(mark: str, tmp_path: Path) -> None:
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).touch()

    assert runs_in_container(tmp_path)


@pytest.mark.parametrize(
    ("group", "contained"),
    [
        ("12:cpu:/docker/0123456789abcdef", True),
        ("0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-0123.scope", True),
        ("0::/../../kubepods/besteffort/pod1/0123", True),
        ("0::/machine.slice/libpod-0123.scope", True),
        ("0::/system.slice/manmanv2-host.service", False),
        ("0::/user.slice/user-1000.slice/session-1.scope", False),
        ("0::/", False),
    ],
)
def test_a_container_is_known_by_its_control_group(
    group: str, contained: bool, tmp_path: Path
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{group}\n")

    assert runs_in_container(tmp_path) is contained


def test_a_system_without_control_groups_is_no_container(tmp_path: Path) -> None:
    assert not runs_in_container(tmp_path)


# Waiting


def test_a_wait_ends_as_soon_as_somebody_asks_to_stop() -> None:
    pause = InterruptibleSleep()
    began = time.monotonic()
    threading.Timer(0.05, pause.stop).start()

    stopped = pause.wait(60)

    assert stopped
    assert pause.wait(60)
    assert time.monotonic() - began < 5


def test_a_wait_that_nobody_ends_lasts() -> None:
    assert not InterruptibleSleep().wait(0.01)
