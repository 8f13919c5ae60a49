from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.capabilities import (
    MAX_CPU_CORES,
    MAX_MEMORY_MB,
    MAX_PORT,
    MAX_PORT_RANGES,
    MAX_VERSION_LENGTH,
    PROTOCOLS,
    Capabilities,
    PortRange,
    check_capabilities,
)
from domain.errors import InvalidField
from tests.support.builders import CAPABILITIES

PORTS = st.integers(1, MAX_PORT)
PORT_RANGES = st.tuples(PORTS, PORTS, st.sampled_from(PROTOCOLS)).map(
    lambda ports: PortRange(min(ports[:2]), max(ports[:2]), ports[2])
)
INT32 = st.integers(-(2**31), 2**31 - 1)


@st.composite
def machines(draw: st.DrawFn) -> Capabilities:
    memory = draw(st.integers(0, MAX_MEMORY_MB))
    cores = draw(st.integers(0, MAX_CPU_CORES))
    return Capabilities(
        total_memory_mb=memory,
        available_memory_mb=draw(st.integers(0, memory)),
        cpu_cores=cores,
        available_cpu_millicores=draw(st.integers(0, 1000 * cores)),
        available_ports=tuple(draw(st.lists(PORT_RANGES, max_size=5))),
        docker_version=draw(st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}", fullmatch=True)),
    )


@given(machines())
def test_possible_capabilities_are_accepted(capabilities: Capabilities) -> None:
    check_capabilities(capabilities)


@given(memory=INT32, free_memory=INT32, cores=INT32, free_cpu=INT32)
def test_amounts_are_accepted_only_within_the_limits(
    memory: int, free_memory: int, cores: int, free_cpu: int
) -> None:
    capabilities = Capabilities(memory, free_memory, cores, free_cpu)

    try:
        check_capabilities(capabilities)
    except InvalidField:
        return

    assert 0 <= memory <= MAX_MEMORY_MB
    assert 0 <= free_memory <= (memory or MAX_MEMORY_MB)
    assert 0 <= cores <= MAX_CPU_CORES
    assert 0 <= free_cpu <= 1000 * (cores or MAX_CPU_CORES)


def test_unknown_capabilities_are_accepted() -> None:
    check_capabilities(Capabilities())


def test_available_amounts_may_be_known_without_the_total() -> None:
    check_capabilities(Capabilities(available_memory_mb=512, available_cpu_millicores=500))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"total_memory_mb": -1}, "total_memory_mb"),
        ({"total_memory_mb": 2**31 - 1}, "total_memory_mb"),
        ({"available_memory_mb": 65537}, "available_memory_mb"),
        ({"cpu_cores": -1}, "cpu_cores"),
        ({"cpu_cores": MAX_CPU_CORES + 1}, "cpu_cores"),
        ({"available_cpu_millicores": 16001}, "available_cpu_millicores"),
        ({"docker_version": "x" * (MAX_VERSION_LENGTH + 1)}, "docker_version"),
        ({"docker_version": "27\n"}, "docker_version"),
        ({"available_ports": (PortRange(1, 1, "TCP"),) * (MAX_PORT_RANGES + 1)}, "available_ports"),
        ({"available_ports": (PortRange(0, 1, "TCP"),)}, "available_ports[0]"),
        ({"available_ports": (PortRange(2, 1, "TCP"),)}, "available_ports[0]"),
        ({"available_ports": (PortRange(1, MAX_PORT + 1, "UDP"),)}, "available_ports[0]"),
        (
            {"available_ports": (PortRange(1, 1, "TCP"), PortRange(1, 1, "tcp"))},
            "available_ports[1].protocol",
        ),
    ],
)
def test_impossible_capabilities_are_refused_with_the_path_of_the_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        check_capabilities(replace(CAPABILITIES, **changes))

    assert refused.value.field == f"capabilities.{field}"


def test_available_amounts_are_not_part_of_the_equipment() -> None:
    busier = replace(CAPABILITIES, available_memory_mb=1, available_cpu_millicores=1)

    assert busier.equipment == CAPABILITIES.equipment


@pytest.mark.parametrize(
    "changes",
    [{"total_memory_mb": 1}, {"cpu_cores": 1}, {"docker_version": "28"}, {"available_ports": ()}],
)
def test_a_change_of_the_machine_changes_the_equipment(changes: dict[str, Any]) -> None:
    assert replace(CAPABILITIES, **changes).equipment != CAPABILITIES.equipment
