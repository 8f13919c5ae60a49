"""Merging servers in each store: it moves rows of many tables, which others write meanwhile."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Heartbeat
from application.ports.store.store import Store
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from application.servers.update_server import ServerChanges
from domain.errors import ServerNotFound
from domain.events import EventKind
from tests.support.builders import CAPABILITIES, SECOND, at_once, evidence
from tests.support.fleet import Fleet

BOX = evidence(disk="box", board="box", boot="today", instance="manager")


def stopped(fleet: Fleet, name: str) -> int:
    registration = Registration(name, "production", CAPABILITIES, evidence=BOX)
    server_id = fleet.register(registration).server.server_id
    fleet.heartbeat([Heartbeat(server_id, leaving=True)])
    return server_id


def put(fleet: Fleet, server_id: int, name: str) -> None:
    PutConfiguration(fleet.store, fleet.clock)(server_id, name, "{}")


def documents(fleet: Fleet, server_id: int) -> dict[str, int]:
    with fleet.store.begin() as transaction:
        summaries = transaction.configurations.summaries(server_id)
        return {summary.name: summary.revision for summary in summaries}


def kinds(fleet: Fleet, server_id: int) -> list[EventKind]:
    with fleet.store.begin() as transaction:
        return [entry.kind for entry in transaction.history.of(server_id)]


def test_a_merged_server_has_the_data_of_both_and_the_other_can_be_restored(store: Store) -> None:
    fleet = Fleet(store)
    old = stopped(fleet, "old")
    put(fleet, old, "games")
    LabelServer(fleet.store, fleet.clock)(old, {"tier": "gold"})
    fleet.update(old, ServerChanges(is_default=True))
    fleet.clock.advance(60 * SECOND)
    new = stopped(fleet, "new")
    put(fleet, new, "limits")
    before = kinds(fleet, old), kinds(fleet, new)
    merged = fleet.merge(old, new)

    assert merged == fleet.get(new)
    assert merged.is_default
    assert merged.labels.effective == {"tier": "gold"}
    assert documents(fleet, new) == {
        "games": merged.config_revision,
        "limits": merged.config_revision - 1,
    }
    assert kinds(fleet, new)[: len(before[0]) + len(before[1])] == [*before[0], *before[1]]
    assert kinds(fleet, old) == [EventKind.DELETED]

    restored = fleet.restore(old)

    assert (restored.name, restored.is_default) == ("old", False)
    assert restored.capabilities == CAPABILITIES
    assert documents(fleet, old).keys() == {"games"}
    assert fleet.get(new).is_default


def test_the_new_server_may_have_the_lower_id(store: Store) -> None:
    fleet = Fleet(store)
    new, old = stopped(fleet, "new"), stopped(fleet, "old")
    put(fleet, old, "games")
    fleet.merge(old, new)

    assert documents(fleet, new).keys() == {"games"}
    with pytest.raises(ServerNotFound):
        fleet.get(old)


def test_concurrent_merges_of_two_servers_into_each_other_leave_one(
    open_store: Callable[[], Store],
) -> None:
    fleets = [Fleet(open_store()) for _ in range(8)]
    for _ in range(3):
        one, other = stopped(fleets[0], "one"), stopped(fleets[0], "other")
        put(fleets[0], one, "of-one")
        put(fleets[0], other, "of-other")
        fleets[0].update(one, ServerChanges(is_default=True))

        def merge(fleet: Fleet, old: int, new: int) -> bool:
            with suppress(ServerNotFound):
                fleet.merge(old, new)
                return True
            return False

        def beat(fleet: Fleet, *server_ids: int) -> bool:
            fleet.heartbeat([Heartbeat(server_id, leaving=True) for server_id in server_ids])
            return False

        def mark(fleet: Fleet, server_id: int) -> bool:
            with suppress(ServerNotFound):
                fleet.update(server_id, ServerChanges(is_default=True))
            return False

        done = at_once(
            [
                partial(merge, fleets[0], one, other),
                partial(merge, fleets[1], other, one),
                partial(merge, fleets[2], one, other),
                partial(merge, fleets[3], other, one),
                partial(beat, fleets[4], one, other),
                partial(beat, fleets[5], other, one),
                partial(mark, fleets[6], one),
                partial(mark, fleets[7], other),
            ]
        )
        [left] = fleets[0].list(size=10).servers

        assert sum(done) == 1
        assert left.is_default
        assert documents(fleets[0], left.server_id).keys() == {"of-one", "of-other"}
        fleets[0].delete(left.server_id)
