from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.memory.store import MemoryStore
from application.liveness.record_heartbeat import Heartbeat
from application.ports.store.store import StoreUnavailable
from application.registration.register_server import Registration
from application.servers.update_server import ServerChanges
from domain.events import EventKind
from domain.liveness import Presence, Status
from tests.support.builders import INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet

HOUR = timedelta(hours=1)


@pytest.fixture
def watched(fleet: Fleet) -> Fleet:
    """A fleet that its API has observed for long enough to expire servers."""
    fleet.pass_time(4 * INTERVAL)
    return fleet


def register(fleet: Fleet, name: str = "web") -> int:
    return fleet.register(Registration(name)).server.server_id


def status(fleet: Fleet, server_id: int) -> Status:
    return fleet.get(server_id).presence.status


def test_a_server_that_is_silent_for_three_intervals_is_offline(watched: Fleet) -> None:
    web = register(watched)
    last_seen = watched.clock.now()

    assert watched.pass_time(3 * INTERVAL) == []
    assert watched.pass_time(SECOND) == [web]
    assert watched.get(web).presence == Presence(Status.OFFLINE, last_seen, None)


def test_a_server_that_sends_heartbeats_stays_online(watched: Fleet) -> None:
    web = register(watched)

    for _ in range(10):
        assert watched.pass_time(2 * INTERVAL) == []
        watched.heartbeat([Heartbeat(web)])
    assert status(watched, web) is Status.ONLINE


def test_a_server_expires_once(watched: Fleet) -> None:
    web = register(watched)

    assert watched.pass_time(HOUR) == [web]


def test_a_server_that_left_is_not_expired(watched: Fleet) -> None:
    web = register(watched)
    watched.heartbeat([Heartbeat(web, leaving=True)])

    assert watched.pass_time(HOUR) == []


def test_a_server_whose_host_never_joined_is_not_expired(watched: Fleet) -> None:
    watched.create("web", "")

    assert watched.pass_time(HOUR) == []


def test_an_api_that_just_started_expires_no_server_before_three_intervals(fleet: Fleet) -> None:
    web = register(fleet)
    fleet.clock.advance(HOUR)
    fleet.restart()

    assert fleet.pass_time(3 * INTERVAL - SECOND) == []
    assert fleet.pass_time(SECOND) == [web]


def test_a_server_that_sends_heartbeats_after_the_api_was_down_is_never_offline(
    fleet: Fleet,
) -> None:
    web = register(fleet)
    fleet.clock.advance(HOUR)
    fleet.restart()

    assert fleet.pass_time(2 * INTERVAL) == []
    fleet.heartbeat([Heartbeat(web)])
    assert fleet.pass_time(3 * INTERVAL) == []
    assert status(fleet, web) is Status.ONLINE


def test_a_store_that_was_unavailable_starts_a_new_observation(watched: Fleet) -> None:
    web = register(watched)
    watched.store.is_unavailable = True
    for _ in range(20):
        watched.clock.advance(INTERVAL / 3)
        with pytest.raises(StoreUnavailable):
            watched.expire()
    watched.store.is_unavailable = False

    assert watched.pass_time(3 * INTERVAL - SECOND) == []
    assert watched.pass_time(SECOND) == [web]


def test_a_single_failure_of_the_store_starts_a_new_observation(watched: Fleet) -> None:
    register(watched)
    watched.pass_time(2 * INTERVAL)
    watched.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        watched.expire()
    watched.store.is_unavailable = False

    assert watched.pass_time(3 * INTERVAL - SECOND) == []


@pytest.mark.parametrize("jump", [HOUR, INTERVAL + SECOND])
def test_a_clock_that_jumps_forward_starts_a_new_observation(
    watched: Fleet, jump: timedelta
) -> None:
    web = register(watched)
    watched.pass_time(2 * INTERVAL)
    watched.clock.advance(jump)

    assert watched.pass_time(3 * INTERVAL - SECOND) == []
    assert watched.pass_time(SECOND) == [web]


@pytest.mark.parametrize("jump", [HOUR, SECOND])
def test_a_clock_that_jumps_back_starts_a_new_observation(watched: Fleet, jump: timedelta) -> None:
    web = register(watched)
    watched.pass_time(3 * INTERVAL)
    watched.clock.advance(-jump)

    assert watched.pass_time(3 * INTERVAL - SECOND) == []
    # By its record the server may be silent until the clock reaches that time again.
    assert watched.pass_time(jump + 2 * SECOND) == [web]


def test_hosts_that_send_heartbeats_through_clock_jumps_stay_online(watched: Fleet) -> None:
    web = register(watched)

    for jump in (HOUR, -2 * HOUR, -SECOND, 3 * INTERVAL, HOUR):
        watched.clock.advance(jump)
        for _ in range(5):
            assert watched.pass_time(INTERVAL) == []
            watched.heartbeat([Heartbeat(web)])
    assert status(watched, web) is Status.ONLINE


def test_the_fleet_is_counted_for_its_heartbeat_interval(watched: Fleet) -> None:
    ids = [register(watched, f"web-{n}") for n in range(3)]
    watched.expire()
    assert watched.heartbeat_interval.fleet_size == 3

    watched.heartbeat([Heartbeat(ids[0], leaving=True)])
    watched.pass_time(4 * INTERVAL)

    assert watched.heartbeat_interval.fleet_size == 0


@pytest.fixture
def large() -> tuple[Fleet, list[int]]:
    """A fleet with an interval of a minute, observed for long enough to expire servers."""
    fleet = Fleet(MemoryStore(), max_heartbeats_per_second=1)
    ids = [register(fleet, f"web-{n}") for n in range(60)]
    for _ in range(20):
        fleet.pass_time(INTERVAL)
        fleet.heartbeat([Heartbeat(server_id) for server_id in ids])
    assert fleet.heartbeat_interval.interval == 4 * INTERVAL
    return fleet, ids


def test_a_stretched_interval_is_honoured_when_the_fleet_shrinks_again(
    large: tuple[Fleet, list[int]],
) -> None:
    fleet, (web, *others) = large
    fleet.heartbeat([Heartbeat(server_id, leaving=True) for server_id in others])
    fleet.expire()
    assert fleet.heartbeat_interval.interval == INTERVAL

    assert fleet.pass_time(12 * INTERVAL) == []
    assert fleet.pass_time(SECOND) == [web]


def test_an_api_that_just_started_waits_for_three_stretched_intervals(
    large: tuple[Fleet, list[int]],
) -> None:
    fleet, ids = large
    fleet.clock.advance(HOUR)
    fleet.restart()

    assert fleet.pass_time(12 * INTERVAL - SECOND) == []
    assert fleet.pass_time(SECOND) == ids


def test_a_server_that_an_operator_set_online_is_offline_again_by_silence(watched: Fleet) -> None:
    web = watched.create("web", "").server_id
    watched.update(web, ServerChanges(status=Status.ONLINE))

    assert watched.pass_time(3 * INTERVAL) == []
    assert watched.pass_time(SECOND) == [web]
    assert watched.get(web).presence == Presence(Status.OFFLINE, None, None)


def test_two_apis_on_one_store_expire_a_server_once(watched: Fleet) -> None:
    other = Fleet(watched.store)
    other.clock.advance(watched.clock.now() - NOW)
    other.pass_time(4 * INTERVAL)
    watched.pass_time(4 * INTERVAL)
    web = register(watched)
    watched.clock.advance(INTERVAL)
    expired = []
    for _ in range(40):
        expired += watched.pass_time(SECOND) + other.pass_time(SECOND)

    assert expired == [web]


def test_a_server_whose_heartbeat_could_not_be_written_does_not_expire(watched: Fleet) -> None:
    web = register(watched)
    watched.pass_time(3 * INTERVAL)
    watched.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        watched.heartbeat([Heartbeat(web)])
    # The sweep itself always finds the store available.
    watched.store.is_unavailable = False

    assert watched.pass_time(3 * INTERVAL - SECOND) == []
    assert watched.pass_time(2 * SECOND) == [web]


def test_servers_of_a_disconnected_transport_do_not_expire(watched: Fleet) -> None:
    over_amqp, over_grpc = register(watched, "amqp"), register(watched, "grpc")
    replace(watched.heartbeat, via="amqp")([Heartbeat(over_amqp)])
    watched.heartbeat_intake.set_connected("amqp", False)

    assert watched.pass_time(HOUR) == [over_grpc]


def test_after_a_disconnection_hosts_have_three_intervals_for_their_next_heartbeat(
    watched: Fleet,
) -> None:
    spoke, silent = register(watched, "spoke"), register(watched, "silent")
    over_amqp = replace(watched.heartbeat, via="amqp")
    over_amqp([Heartbeat(spoke), Heartbeat(silent)])
    watched.heartbeat_intake.set_connected("amqp", False)
    watched.pass_time(HOUR)
    watched.heartbeat_intake.set_connected("amqp", True)

    assert watched.pass_time(2 * INTERVAL) == []
    over_amqp([Heartbeat(spoke)])
    assert watched.pass_time(INTERVAL + SECOND) == [silent]
    assert status(watched, spoke) is Status.ONLINE


def test_the_history_shows_when_and_why_a_server_expired(watched: Fleet) -> None:
    web = register(watched)
    watched.pass_time(3 * INTERVAL + SECOND)
    with watched.store.begin() as transaction:
        last = transaction.history.of(web)[-1]

    assert (last.kind, last.at) == (EventKind.STALE, watched.clock.now())
    assert last.cause == "its host was silent for longer than 45 seconds"


def test_silence_can_be_judged_after_three_intervals_of_observation(fleet: Fleet) -> None:
    assert not fleet.expire.can_expire()
    fleet.pass_time(3 * INTERVAL - SECOND)
    assert not fleet.expire.can_expire()

    fleet.pass_time(SECOND)

    assert fleet.expire.can_expire()


def test_silence_cannot_be_judged_after_a_gap_in_the_observation(watched: Fleet) -> None:
    watched.clock.advance(INTERVAL)
    assert watched.expire.can_expire()

    watched.clock.advance(SECOND)

    assert not watched.expire.can_expire()


def test_silence_cannot_be_judged_while_heartbeats_may_be_missing(watched: Fleet) -> None:
    watched.heartbeat_intake.set_connected("amqp", False)
    assert not watched.expire.can_expire()
    watched.heartbeat_intake.set_connected("amqp", True)
    assert watched.expire.can_expire()

    watched.heartbeat_intake.failed_batches += 1

    assert not watched.expire.can_expire()


def test_silence_cannot_be_judged_right_after_a_transport_came_back(watched: Fleet) -> None:
    watched.heartbeat_intake.set_connected("amqp", False)
    watched.expire()
    watched.heartbeat_intake.set_connected("amqp", True)
    watched.expire()
    assert not watched.expire.can_expire()

    watched.pass_time(3 * INTERVAL)

    assert watched.expire.can_expire()
