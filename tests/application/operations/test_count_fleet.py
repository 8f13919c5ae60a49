from datetime import timedelta

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Heartbeat
from application.operations.count_fleet import CountFleet
from application.registration.register_server import Registration
from domain.approval import ApprovalPolicy
from domain.conflict import Resolution
from domain.errors import NameInUse
from domain.liveness import Status
from domain.machine import Hardware
from domain.registration_rules import RegistrationRules
from tests.support.builders import CAPABILITIES, SECOND, evidence
from tests.support.fleet import Fleet


def test_the_counts_of_an_empty_store_are_zero() -> None:
    fleet = Fleet(MemoryStore())
    statistics = CountFleet(fleet.store, fleet.clock, fleet.schedule)()

    assert not statistics.servers
    assert statistics.hardware == Hardware(0, 0, 0)
    assert (statistics.waiting_events, statistics.oldest_event_age) == (0, timedelta(0))
    assert (statistics.pending_servers, statistics.open_conflicts) == (0, 0)
    assert statistics.heartbeat_interval == fleet.schedule.interval


def test_servers_are_counted_and_events_are_as_old_as_the_oldest() -> None:
    fleet = Fleet(MemoryStore(), interval=SECOND, max_heartbeats_per_second=1)
    for name in ("a", "b", "c"):
        fleet.register(Registration(name, "dev"))
    fleet.clock.advance(7 * SECOND)
    fleet.heartbeat([Heartbeat(1, leaving=True)])
    statistics = CountFleet(fleet.store, fleet.clock, fleet.schedule)()

    assert statistics.servers == {(Status.ONLINE, "dev"): 2, (Status.OFFLINE, "dev"): 1}
    assert statistics.oldest_event_age == 7 * SECOND
    assert statistics.waiting_events == 7
    assert statistics.heartbeat_interval == 2 * SECOND


def test_an_event_of_a_clock_that_is_ahead_has_no_age() -> None:
    fleet = Fleet(MemoryStore())
    fleet.clock.advance(7 * SECOND)
    fleet.register(Registration("a"))
    fleet.clock.advance(-5 * SECOND)

    assert CountFleet(fleet.store, fleet.clock, fleet.schedule)().oldest_event_age == timedelta(0)


def test_pending_servers_and_open_conflicts_are_counted() -> None:
    rules = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)
    fleet = Fleet(MemoryStore(), rules=rules)
    for name in ("a", "b", "c"):
        fleet.register(Registration(name, evidence=evidence("disk", "board", "boot")))
    fleet.approve(1)
    other = evidence("other disk", "other board", "other boot")
    for name in ("a", "b"):
        with pytest.raises(NameInUse):
            fleet.register(Registration(name, evidence=other))
    fleet.resolve(1, Resolution.ADOPT)
    statistics = CountFleet(fleet.store, fleet.clock, fleet.schedule)()

    assert (statistics.pending_servers, statistics.open_conflicts) == (2, 1)


def test_two_host_managers_on_one_machine_count_as_one() -> None:
    fleet = Fleet(MemoryStore())
    box, other = evidence("disk", "board", "boot"), evidence("disk 2", "board 2", "boot 2")
    for name, environment, of_it in (("a", "dev", box), ("a-2", "prod", box), ("b", "dev", other)):
        fleet.register(Registration(name, environment, CAPABILITIES, evidence=of_it))
    statistics = CountFleet(fleet.store, fleet.clock, fleet.schedule)()

    assert statistics.hardware == Hardware(2, 32, 131072)
