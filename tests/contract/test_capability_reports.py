from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from application.ports.store.store import Store
from domain.capabilities import (
    MAX_CPU_CORES,
    MAX_MEMORY_MB,
    MAX_PORT_RANGES,
    MAX_VERSION_LENGTH,
    Capabilities,
    PortRange,
)
from tests.support.builders import CAPABILITIES, NOW, SECOND

BUSIER = replace(CAPABILITIES, available_memory_mb=1, available_cpu_millicores=2)


@pytest.fixture
def web(store: Store) -> int:
    with store.begin() as transaction:
        return transaction.servers.find_or_add("web").server_id


def record(store: Store, server_id: int, report: Capabilities, now: datetime = NOW) -> None:
    with store.begin() as transaction:
        transaction.presences.lock([server_id])
        transaction.capability_reports.record({server_id: report}, now)


def latest(store: Store, server_id: int) -> Capabilities | None:
    with store.begin() as transaction:
        return transaction.servers.get(server_id).capabilities


def history(store: Store, server_id: int) -> list[tuple[datetime, Capabilities]]:
    with store.begin() as transaction:
        return transaction.capability_reports.history(server_id)


def equipment(report: Capabilities) -> Capabilities:
    return replace(report, available_memory_mb=0, available_cpu_millicores=0)


def test_a_server_without_a_report_has_no_capabilities(store: Store, web: int) -> None:
    assert latest(store, web) is None
    assert history(store, web) == []


def test_a_server_has_its_latest_report(store: Store, web: int) -> None:
    for report in (CAPABILITIES, BUSIER, Capabilities(), CAPABILITIES):
        record(store, web, report)

        assert latest(store, web) == report


def test_the_history_grows_only_when_the_equipment_changes(store: Store, web: int) -> None:
    bigger = replace(BUSIER, total_memory_mb=131072)
    reports = [CAPABILITIES, BUSIER, CAPABILITIES, bigger, bigger, BUSIER]
    for minute, report in enumerate(reports):
        record(store, web, report, NOW + 60 * minute * SECOND)

    assert history(store, web) == [
        (NOW, equipment(CAPABILITIES)),
        (NOW + 180 * SECOND, equipment(bigger)),
        (NOW + 300 * SECOND, equipment(CAPABILITIES)),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"total_memory_mb": 1}, {"cpu_cores": 1}, {"docker_version": "28"}, {"available_ports": ()}],
)
def test_a_change_of_any_equipment_field_extends_the_history(
    store: Store, web: int, changes: dict[str, Any]
) -> None:
    record(store, web, CAPABILITIES)
    record(store, web, replace(CAPABILITIES, **changes))

    assert len(history(store, web)) == 2


def test_reports_of_servers_do_not_mix(store: Store) -> None:
    with store.begin() as transaction:
        ids = [transaction.servers.find_or_add(f"web-{n}").server_id for n in range(50)]
        reports = {
            server_id: replace(CAPABILITIES, cpu_cores=100 + n) for n, server_id in enumerate(ids)
        }
        transaction.capability_reports.record(dict(reversed(reports.items())), NOW)
    with store.begin() as transaction:
        transaction.capability_reports.record({ids[7]: BUSIER}, NOW)
        transaction.capability_reports.record({}, NOW)

    reports[ids[7]] = BUSIER
    assert {server_id: latest(store, server_id) for server_id in ids} == reports
    assert [len(history(store, server_id)) for server_id in ids] == [
        2 if server_id == ids[7] else 1 for server_id in ids
    ]


def test_the_largest_machine_fits(store: Store, web: int) -> None:
    largest = Capabilities(
        total_memory_mb=MAX_MEMORY_MB,
        available_memory_mb=MAX_MEMORY_MB,
        cpu_cores=MAX_CPU_CORES,
        available_cpu_millicores=1000 * MAX_CPU_CORES,
        available_ports=tuple(PortRange(n, 65535, "UDP") for n in range(1, MAX_PORT_RANGES + 1)),
        docker_version="🎲" * MAX_VERSION_LENGTH,
    )
    record(store, web, largest)

    assert latest(store, web) == largest
