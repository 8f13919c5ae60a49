import os
import socket

import pytest

from adapters.system.psutil_machine import PsutilMachine
from application.ports.host.machine import Machine
from domain.capabilities import check_capabilities


@pytest.fixture
def machine() -> Machine:
    return PsutilMachine()


def test_a_machine_reports_its_own_figures_without_docker(machine: Machine) -> None:
    report = machine.report()

    assert report.hostname == socket.gethostname()
    assert report.capabilities.cpu_cores == os.cpu_count()
    physical_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    assert report.capabilities.total_memory_mb == physical_mb
    assert report.capabilities.available_memory_mb > 0
    assert report.capabilities.docker_version == ""


def test_a_measured_report_is_always_valid(machine: Machine) -> None:
    for _ in range(20):
        check_capabilities(machine.report().capabilities)
