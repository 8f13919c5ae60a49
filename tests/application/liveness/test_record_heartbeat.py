from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.ports.store.store import StoreUnavailable
from application.registration.register_server import Registration
from domain.capabilities import Capabilities
from domain.errors import ServerNotFound
from domain.liveness import Status, offline_presence, online_presence
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet

BUSIER = replace(CAPABILITIES, available_memory_mb=1)


def register(fleet: Fleet, name: str, capabilities: Capabilities | None = None) -> int:
    return fleet.register(Registration(name, capabilities=capabilities)).server.server_id


def test_a_heartbeat_says_that_its_server_lives(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    now = fleet.clock.advance(10 * SECOND)

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(0, INTERVAL)]
    assert fleet.get(web).presence == online_presence(now, INTERVAL)
    assert fleet.get(web).capabilities == CAPABILITIES


def test_a_heartbeat_may_bring_other_capabilities(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    fleet.heartbeat([Heartbeat(web, BUSIER)])

    assert fleet.get(web).capabilities == BUSIER


def test_a_host_that_leaves_is_offline_at_once(fleet: Fleet) -> None:
    web = register(fleet, "web")
    now = fleet.clock.advance(SECOND)
    fleet.heartbeat([Heartbeat(web, leaving=True)])

    assert fleet.get(web).presence == offline_presence(now)


def test_a_heartbeat_brings_an_offline_server_back(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, leaving=True)])
    fleet.heartbeat([Heartbeat(web)])

    assert fleet.get(web).presence.status is Status.ONLINE


def test_a_heartbeat_is_told_the_revision_of_its_configuration(fleet: Fleet) -> None:
    web = register(fleet, "web")
    with fleet.store.begin() as transaction:
        server = transaction.servers.get(web, lock=True)
        transaction.servers.save(replace(server, config_revision=7))

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(7, INTERVAL)]


def test_answers_stand_in_the_order_of_the_batch_and_unknown_servers_keep_nobody_out(
    fleet: Fleet,
) -> None:
    web, db = register(fleet, "web"), register(fleet, "db")
    now = fleet.clock.advance(SECOND)
    batch = [Heartbeat(db), Heartbeat(4711, CAPABILITIES), Heartbeat(web), Heartbeat(-1)]
    first, second, third, fourth = fleet.heartbeat(batch)

    assert first == third == Acknowledged(0, INTERVAL)
    assert isinstance(second, ServerNotFound)
    assert second.server_id == 4711
    assert isinstance(fourth, ServerNotFound)
    assert fourth.server_id == -1
    for server_id in (web, db):
        assert fleet.get(server_id).presence == online_presence(now, INTERVAL)
    assert len(fleet.list(size=10).servers) == 2


def test_a_batch_of_unknown_servers_writes_nothing(fleet: Fleet) -> None:
    answers = fleet.heartbeat([Heartbeat(1), Heartbeat(1)])

    assert [type(answer) for answer in answers] == [ServerNotFound, ServerNotFound]
    assert fleet.list(size=10).servers == []


def test_an_empty_batch_has_no_answers(fleet: Fleet) -> None:
    assert fleet.heartbeat([]) == []


@pytest.mark.parametrize("leaving_last", [True, False])
def test_the_last_of_several_heartbeats_says_whether_its_server_leaves(
    fleet: Fleet, leaving_last: bool
) -> None:
    web = register(fleet, "web")
    answers = fleet.heartbeat(
        [Heartbeat(web, leaving=not leaving_last), Heartbeat(web, leaving=leaving_last)]
    )

    assert answers == [Acknowledged(0, INTERVAL)] * 2
    assert fleet.get(web).presence == (
        offline_presence(NOW) if leaving_last else online_presence(NOW, INTERVAL)
    )


def test_of_several_heartbeats_the_last_reported_capabilities_are_kept(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, CAPABILITIES), Heartbeat(web, BUSIER), Heartbeat(web)])

    assert fleet.get(web).capabilities == BUSIER


def test_a_goodbye_keeps_the_capabilities_of_an_earlier_heartbeat(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, CAPABILITIES), Heartbeat(web, leaving=True)])

    assert fleet.get(web).capabilities == CAPABILITIES
    assert fleet.get(web).presence == offline_presence(NOW)


def test_a_goodbye_may_bring_capabilities(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.heartbeat([Heartbeat(web, BUSIER, leaving=True)])

    assert fleet.get(web).capabilities == BUSIER


def test_zeroes_are_a_report_too(fleet: Fleet) -> None:
    web = register(fleet, "web", CAPABILITIES)
    fleet.heartbeat([Heartbeat(web, Capabilities())])

    assert fleet.get(web).capabilities == Capabilities()


def test_nothing_of_a_batch_is_acknowledged_while_the_store_is_away(fleet: Fleet) -> None:
    web = register(fleet, "web")
    fleet.store.is_away = True

    with pytest.raises(StoreUnavailable):
        fleet.heartbeat([Heartbeat(web)])


@pytest.mark.parametrize(("online", "seconds"), [(0, 15), (30, 15), (31, 16), (2000, 1000)])
def test_hosts_are_told_to_beat_so_that_the_fleet_stays_under_the_rate(
    online: int, seconds: int
) -> None:
    fleet = Fleet(MemoryStore(), max_heartbeats_per_second=2)
    web = register(fleet, "web")
    fleet.heartbeat_interval.fleet_size = online
    told = timedelta(seconds=seconds)

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(0, told)]
    assert fleet.get(web).presence == online_presence(NOW, told)
    assert fleet.register(Registration("db")).next_heartbeat == told
