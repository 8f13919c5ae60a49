"""What an API deletes by itself and, more importantly, what it does not."""

import logging
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from application.liveness.record_heartbeat import Heartbeat
from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import StoreUnavailable
from application.registration.register_server import Registration
from domain.conflict import Conflict, ConflictState
from domain.enforcement import Switch
from domain.errors import DeletedServerNotFound
from domain.liveness import Status
from domain.machine_evidence import UNKNOWN_IDENTITY
from tests.support.builders import INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def watched(fleet: Fleet) -> Fleet:
    """A fleet whose API has observed it for long enough to expire servers."""
    fleet.pass_time(4 * INTERVAL)
    return fleet


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "application.operations.clean_up_fleet")
    return caplog


def join(fleet: Fleet, name: str = "web") -> int:
    return fleet.register(Registration(name, ephemeral=True)).server.server_id


def leave(fleet: Fleet, server_id: int) -> None:
    fleet.heartbeat([Heartbeat(server_id, leaving=True)])


def listed(fleet: Fleet) -> list[str]:
    return [server.name for server in fleet.list(size=1000).servers]


def away(fleet: Fleet, duration: timedelta) -> None:
    """The API was stopped for this long and has just started."""
    fleet.clock.advance(duration)
    fleet.restart()


def test_ephemeral_servers_that_were_offline_for_too_long_are_deleted_and_logged(
    watched: Fleet, logged: pytest.LogCaptureFixture
) -> None:
    web = join(watched)
    leave(watched, web)
    watched.pass_time(24 * HOUR)
    watched.clean_up()
    assert listed(watched) == ["web"]
    assert logged.messages == []

    watched.pass_time(SECOND)
    watched.clean_up()
    assert listed(watched) == []
    assert logged.messages == [
        "server 1 (web) is deleted: ephemeral, and offline for longer than 24 hours"
    ]


def test_a_silent_server_goes_offline_first_and_then_has_its_whole_retention(
    watched: Fleet,
) -> None:
    web = join(watched)
    assert watched.pass_time(3 * INTERVAL + SECOND) == [web]
    watched.pass_time(24 * HOUR - SECOND)
    watched.clean_up()

    assert listed(watched) == ["web"]
    watched.pass_time(5 * SECOND)
    watched.clean_up()
    assert listed(watched) == []


def test_a_fleet_that_no_api_could_hear_for_a_day_is_not_deleted(watched: Fleet) -> None:
    beating, slow, dead = (join(watched, name) for name in ("beating", "slow", "dead"))
    away(watched, 25 * HOUR)
    watched.pass_time(SECOND)
    watched.clean_up()
    assert listed(watched) == ["beating", "slow", "dead"]

    watched.heartbeat([Heartbeat(beating)])
    # The silent server goes offline only now, although it was last seen a day ago.
    assert watched.pass_time(3 * INTERVAL) == [slow, dead]
    for _ in range(20):
        watched.heartbeat([Heartbeat(beating)])
        watched.pass_time(INTERVAL)
        watched.clean_up()
    assert listed(watched) == ["beating", "slow", "dead"]

    watched.heartbeat([Heartbeat(slow)])
    for _ in range(24):
        watched.heartbeat([Heartbeat(beating), Heartbeat(slow)])
        watched.pass_time(HOUR)
        watched.heartbeat([Heartbeat(beating), Heartbeat(slow)])
        watched.clean_up()
    assert listed(watched) == ["beating", "slow"]
    assert watched.get(slow).presence.status is Status.ONLINE
    assert watched.list_deleted(size=9).servers[0].server.server_id == dead


def test_an_api_that_just_started_waits_before_it_deletes_servers(watched: Fleet) -> None:
    back, gone = join(watched, "back"), join(watched, "gone")
    for server_id in (back, gone):
        leave(watched, server_id)
    away(watched, 25 * HOUR)
    # Both were offline; one came back in the meantime and keeps sending heartbeats.
    watched.clean_up()
    watched.pass_time(3 * INTERVAL - SECOND)
    watched.clean_up()
    assert listed(watched) == ["back", "gone"]

    assert join(watched, "back") == back
    watched.pass_time(SECOND)
    watched.clean_up()
    assert listed(watched) == ["back"]


def test_a_store_outage_makes_it_wait_as_long(watched: Fleet) -> None:
    leave(watched, join(watched))
    watched.pass_time(23 * HOUR)
    watched.store.is_unavailable = True
    watched.clock.advance(2 * HOUR)
    for call in (watched.expire, watched.clean_up):
        with pytest.raises(StoreUnavailable):
            call()
    watched.store.is_unavailable = False
    watched.clean_up()
    watched.pass_time(3 * INTERVAL - SECOND)
    watched.clean_up()

    assert listed(watched) == ["web"]
    watched.pass_time(SECOND)
    watched.clean_up()
    assert listed(watched) == []


@pytest.mark.parametrize("jump", [25 * HOUR, -SECOND])
def test_a_clock_that_jumps_makes_it_wait_as_long(watched: Fleet, jump: timedelta) -> None:
    leave(watched, join(watched))
    watched.pass_time(25 * HOUR if jump < timedelta(0) else SECOND)
    watched.clock.advance(jump)
    watched.clean_up()
    watched.pass_time(3 * INTERVAL - SECOND)
    watched.clean_up()

    assert listed(watched) == ["web"]
    watched.pass_time(SECOND)
    watched.clean_up()
    assert listed(watched) == []


def test_failed_heartbeats_make_it_wait_as_long(watched: Fleet) -> None:
    web, other = join(watched), join(watched, "other")
    leave(watched, web)
    watched.pass_time(25 * HOUR)
    watched.store.is_unavailable = True
    with pytest.raises(StoreUnavailable):
        watched.heartbeat([Heartbeat(web), Heartbeat(other)])
    watched.store.is_unavailable = False
    watched.clean_up()

    assert "web" in listed(watched)


def test_a_disconnected_transport_prevents_deletions(watched: Fleet) -> None:
    leave(watched, join(watched))
    watched.pass_time(25 * HOUR)
    watched.heartbeat_intake.set_connected("amqp", False)
    # At once, not only after the next sweep.
    watched.clean_up()
    watched.pass_time(HOUR)
    watched.clean_up()
    watched.heartbeat_intake.set_connected("amqp", True)
    watched.clean_up()
    watched.pass_time(3 * INTERVAL - SECOND)
    watched.clean_up()

    assert listed(watched) == ["web"]
    watched.pass_time(6 * SECOND)
    watched.clean_up()
    assert listed(watched) == []


def test_two_apis_delete_a_server_once(watched: Fleet, logged: pytest.LogCaptureFixture) -> None:
    other = Fleet(watched.store)
    other.clock.advance(watched.clock.now() - NOW)
    leave(watched, join(watched))
    watched.pass_time(25 * HOUR)
    other.pass_time(25 * HOUR)
    for api in (watched, other, watched):
        api.clean_up()

    assert len(logged.messages) == 1


def test_all_due_servers_are_deleted_in_batches_of_a_hundred(watched: Fleet) -> None:
    for number in range(150):
        leave(watched, join(watched, f"web-{number}"))
    watched.pass_time(25 * HOUR)

    assert watched.clean_up()
    assert len(listed(watched)) == 50
    assert not watched.clean_up()
    assert listed(watched) == []


def test_deleted_servers_are_purged_with_their_history_after_their_retention(
    watched: Fleet, logged: pytest.LogCaptureFixture
) -> None:
    web, db = join(watched), join(watched, "db")
    watched.delete(web, force=True)
    watched.clock.advance(DAY)
    watched.delete(db, force=True)
    watched.clock.advance(29 * DAY - SECOND)
    watched.clean_up()
    assert watched.restore(web).server_id == web
    watched.delete(web)
    watched.clock.advance(30 * DAY)
    watched.clean_up()

    assert logged.messages == [
        f"server {server_id} is deleted for good: it can no longer be restored"
        for server_id in (web, db)
    ]
    for server_id in (web, db):
        with pytest.raises(DeletedServerNotFound):
            watched.restore(server_id)
        with watched.store.begin() as transaction:
            assert transaction.history.of(server_id) == []


def test_deleted_servers_are_purged_in_batches_of_a_hundred(watched: Fleet) -> None:
    for number in range(150):
        watched.delete(watched.create(f"web-{number}", "").server_id)
    watched.clock.advance(30 * DAY)

    assert watched.clean_up()
    assert len(watched.list_deleted(size=1000).servers) == 50
    assert not watched.clean_up()
    assert watched.list_deleted(size=1000).servers == []


def test_an_api_that_received_no_heartbeats_still_purges_deleted_servers(fleet: Fleet) -> None:
    fleet.delete(fleet.create("web", "").server_id)
    fleet.clock.advance(31 * DAY)
    fleet.clean_up()

    assert fleet.list_deleted(size=9).servers == []


def claimed(at: datetime, state: ConflictState = ConflictState.OPEN) -> Conflict:
    return Conflict(0, 42, "web", state, UNKNOWN_IDENTITY, None, UNKNOWN_IDENTITY, NOW, at)


def states(fleet: Fleet) -> list[ConflictState]:
    with fleet.store.begin() as transaction:
        return [conflict.state for conflict in transaction.conflicts.of_name("web")[::-1]]


def test_conflicts_lapse_after_a_day_without_a_claim_and_are_purged_after_thirty(
    watched: Fleet, logged: pytest.LogCaptureFixture
) -> None:
    now = watched.clock.now()
    with watched.store.begin() as transaction:
        for at in (now, now + HOUR):
            transaction.conflicts.add(claimed(at))
    watched.clock.advance(24 * HOUR)
    watched.clean_up()
    assert states(watched) == [ConflictState.OPEN, ConflictState.OPEN]

    watched.clock.advance(SECOND)
    watched.clean_up()
    watched.clean_up()
    assert states(watched) == [ConflictState.LAPSED, ConflictState.OPEN]
    assert logged.messages == [
        "conflicts that lapsed because no machine claimed the name for 24 hours: 1"
    ]

    watched.clock.advance(29 * DAY)
    watched.clean_up()
    assert states(watched) == [ConflictState.LAPSED]


def test_dry_run_refusals_are_purged_after_thirty_days(watched: Fleet) -> None:
    with watched.store.begin() as transaction:
        for days, name in enumerate(("old", "new")):
            at = watched.clock.now() + days * DAY
            transaction.dry_run_refusals.record(Switch.EPOCH, 1, name, "why", at)
    watched.clock.advance(30 * DAY)
    watched.clean_up()
    with watched.store.begin() as transaction:
        assert len(transaction.dry_run_refusals.page(0, 9)) == 2

    watched.clock.advance(SECOND)
    watched.clean_up()
    with watched.store.begin() as transaction:
        assert [entry.name for entry in transaction.dry_run_refusals.page(0, 9)] == ["new"]


def note(fleet: Fleet, action: str, at: datetime) -> None:
    with fleet.store.begin() as transaction:
        transaction.audit.append(AuditEntry(at, "ann", "ok-abc", "", action))


def recorded_actions(fleet: Fleet) -> list[str]:
    with fleet.store.begin() as transaction:
        return [entry.action for entry in transaction.audit.page(0, 9, 0, "")]


def test_audit_entries_are_kept_for_the_retention_that_is_set(watched: Fleet) -> None:
    clean_up = replace(watched.clean_up, audit_retention=DAY)
    for days, action in enumerate(("Old", "New")):
        note(watched, action, watched.clock.now() + days * DAY)
    watched.clock.advance(DAY)
    clean_up()
    assert recorded_actions(watched) == ["New", "Old"]

    watched.clock.advance(SECOND)
    clean_up()
    assert recorded_actions(watched) == ["New"]


def test_audit_entries_are_kept_forever_without_a_retention(watched: Fleet) -> None:
    note(watched, "Old", watched.clock.now())
    watched.clock.advance(3650 * DAY)
    watched.clean_up()

    assert recorded_actions(watched) == ["Old"]


def test_a_clean_up_of_an_empty_store_does_nothing(
    watched: Fleet, logged: pytest.LogCaptureFixture
) -> None:
    join(watched)

    assert not watched.clean_up()
    assert logged.messages == []
    assert listed(watched) == ["web"]


def test_a_batch_is_logged_even_if_the_next_one_fails(
    watched: Fleet, logged: pytest.LogCaptureFixture
) -> None:
    leave(watched, join(watched))
    watched.pass_time(25 * HOUR)
    store = watched.store
    failing = replace(watched.clean_up, store=replace(store, is_unavailable=True))

    with pytest.raises(StoreUnavailable):
        failing()
    assert len(logged.messages) == 1
    assert listed(watched) == []
