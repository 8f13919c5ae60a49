from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.capabilities import Capabilities
from domain.liveness import NEVER_SEEN, online_presence
from domain.machine import Hardware, Machine, hardware_of, machines_of
from domain.server import Server
from tests.support.builders import INTERVAL, NOW, SECOND

SMALL = Capabilities(total_memory_mb=1024, cpu_cores=2)
LARGE = Capabilities(total_memory_mb=4096, cpu_cores=8)


def server(
    server_id: int, machine: int, capabilities: Capabilities | None = None, seen: int | None = 0
) -> Server:
    """Seen so many seconds after the others, None for never."""
    presence = NEVER_SEEN if seen is None else online_presence(NOW + seen * SECOND, INTERVAL)
    return Server(
        server_id,
        f"box-{server_id}",
        presence=presence,
        machine=machine,
        capabilities=capabilities,
    )


fleets = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from([None, SMALL, LARGE]), st.none() | st.integers(0, 9)
    ),
    max_size=8,
).map(
    lambda rows: [
        server(number, machine, capabilities, seen)
        for number, (machine, capabilities, seen) in enumerate(rows, start=1)
    ]
)


@given(servers=fleets)
def test_every_server_is_on_one_machine(servers: Sequence[Server]) -> None:
    machines = machines_of(servers)
    found = [each for machine in machines for each in machine.servers]

    assert sorted(found, key=lambda each: each.server_id) == servers
    assert all(each.machine == machine.number for machine in machines for each in machine.servers)


@given(servers=fleets)
def test_servers_share_a_machine_only_by_its_number(servers: Sequence[Server]) -> None:
    machines = machines_of(servers)
    numbers = [machine.number for machine in machines if machine.number]

    assert len(set(numbers)) == len(numbers)
    assert all(len(machine.servers) == 1 for machine in machines if not machine.number)


@given(servers=fleets)
def test_the_hardware_of_a_machine_is_counted_once(servers: Sequence[Server]) -> None:
    machines = machines_of(servers)
    hardware = hardware_of(machines)
    twice = [replace(each, server_id=each.server_id + 100) for each in servers if each.machine]

    assert hardware.machines == len(machines)
    assert hardware_of(machines_of([*servers, *twice])) == hardware


def test_a_machine_has_the_capabilities_of_its_most_recently_seen_server() -> None:
    grown = Machine(7, [server(1, 7, SMALL, seen=5), server(2, 7, LARGE, seen=9)])
    shrunk = Machine(7, [server(1, 7, LARGE, seen=5), server(2, 7, SMALL, seen=9)])
    silent = Machine(7, [server(1, 7, SMALL, seen=5), server(2, 7, None, seen=9)])
    never = Machine(7, [server(1, 7, SMALL, seen=None), server(2, 7, LARGE, seen=0)])

    assert [machine.capabilities for machine in (grown, shrunk, silent, never)] == [
        LARGE,
        SMALL,
        SMALL,
        LARGE,
    ]


def test_machines_without_a_report_have_no_hardware() -> None:
    machines = machines_of([server(1, 0), server(2, 7)])

    assert [machine.capabilities for machine in machines] == [None, None]
    assert hardware_of(machines) == Hardware(2, 0, 0)


def test_two_host_managers_on_one_machine_are_one_machine() -> None:
    dev, prod, other = server(1, 1, LARGE), server(2, 1, LARGE), server(3, 0, SMALL)

    assert machines_of([dev, other, prod]) == [Machine(1, [dev, prod]), Machine(0, [other])]
    assert hardware_of(machines_of([dev, other, prod])) == Hardware(2, 10, 5120)
