import pytest

from adapters.system.fallback_machine import FallbackMachine
from application.ports.host.machine import EngineUnavailable, MachineReport
from domain.capabilities import Capabilities
from tests.support.fakes import CAPABILITIES, FakeMachine

WITH_DOCKER = MachineReport("mars", CAPABILITIES)
WITHOUT_DOCKER = MachineReport("mars", Capabilities(total_memory_mb=4096, cpu_cores=2))


def test_a_machine_falls_back_to_its_own_figures_and_logs_each_change_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    unavailable = EngineUnavailable("Docker is unavailable")
    docker = FakeMachine(
        [WITH_DOCKER, unavailable, unavailable, WITH_DOCKER, WITH_DOCKER, unavailable]
    )
    machine = FallbackMachine(docker, FakeMachine([WITHOUT_DOCKER] * 3))

    reports = [machine.report() for _ in range(6)]

    assert reports == [
        WITH_DOCKER,
        WITHOUT_DOCKER,
        WITHOUT_DOCKER,
        WITH_DOCKER,
        WITH_DOCKER,
        WITHOUT_DOCKER,
    ]
    assert caplog.messages == [
        "Docker is unavailable. Reporting the machine's own figures instead.",
        "Docker answers: reporting its figures again.",
        "Docker is unavailable. Reporting the machine's own figures instead.",
    ]
