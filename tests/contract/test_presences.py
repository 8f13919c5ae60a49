from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from functools import partial
from time import sleep

import pytest

from application.ports.store.presences import Known
from application.ports.store.store import Store
from domain.approval import Approval
from domain.liveness import NEVER_SEEN, Presence, Status, offline_presence, online_presence
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once

MICROSECOND = SECOND / 1_000_000
ONLINE = online_presence(NOW, INTERVAL)
DEADLINE = NOW + 3 * INTERVAL


def add(store: Store, *presences: Presence) -> list[int]:
    """Add a server for each presence."""
    ids: list[int] = []
    with store.begin() as transaction:
        for presence in presences:
            server = transaction.servers.find_or_add(f"web-{len(ids)}")
            transaction.servers.save(replace(server, presence=presence))
            ids.append(server.server_id)
    return ids


def presence_of(store: Store, server_id: int) -> Presence:
    with store.begin() as transaction:
        return transaction.servers.get(server_id).presence


def set_presence(store: Store, server_ids: Collection[int], presence: Presence) -> None:
    with store.begin() as transaction:
        transaction.presences.lock(server_ids)
        transaction.presences.set(dict.fromkeys(server_ids, 0), presence)


def expire(store: Store, now: datetime) -> list[int]:
    with store.begin() as transaction:
        return sorted(transaction.presences.expire(now))


def count_online(store: Store) -> int:
    with store.begin() as transaction:
        return transaction.presences.count_online()


def test_a_lock_returns_the_fields_that_a_heartbeat_needs(store: Store) -> None:
    silent, alive = add(store, NEVER_SEEN, ONLINE)
    with store.begin() as transaction:
        server = transaction.servers.get(alive, lock=True)
        changed = replace(server, config_revision=7, epoch=3, approval=Approval.PENDING)
        transaction.servers.save(changed)
    with store.begin() as transaction:
        known = transaction.presences.lock([alive, silent])
        assert transaction.presences.known([alive, silent]) == known

    assert known == {
        alive: Known(Status.ONLINE, 7, 3, Approval.PENDING),
        silent: Known(Status.OFFLINE, 0, 0, Approval.APPROVED),
    }


def test_only_heartbeats_of_the_newest_registration_set_a_presence(store: Store) -> None:
    ids = add(store, ONLINE, ONLINE, ONLINE, ONLINE)
    with store.begin() as transaction:
        for server_id in ids:
            server = transaction.servers.get(server_id, lock=True)
            transaction.servers.save(replace(server, epoch=7))
    older, same, newer, silent_on_it = ids
    with store.begin() as transaction:
        epochs = {older: 6, same: 7, newer: 8, silent_on_it: 0}
        known = transaction.presences.set(epochs, offline_presence(NOW))

    assert known.keys() == {same, newer, silent_on_it}
    assert {known[server_id].epoch for server_id in known} == {7}
    assert presence_of(store, older) == ONLINE
    assert presence_of(store, same) == offline_presence(NOW)


@pytest.mark.parametrize(
    ("approval", "is_set"),
    [
        (Approval.APPROVED, True),
        (Approval.PENDING, True),
        (Approval.REJECTED, False),
        (Approval.BANNED, False),
    ],
)
def test_only_admitted_servers_are_set_unless_refused_ones_are_included(
    store: Store, approval: Approval, is_set: bool
) -> None:
    [web] = add(store, ONLINE)
    with store.begin() as transaction:
        server = transaction.servers.get(web, lock=True)
        transaction.servers.save(replace(server, approval=approval))
    with store.begin() as transaction:
        known = transaction.presences.set({web: 0}, offline_presence(NOW))

    assert (web in known) is is_set

    with store.begin() as transaction:
        known = transaction.presences.set({web: 0}, offline_presence(NOW), include_refused=True)

    assert known[web].approval is approval
    assert presence_of(store, web) == offline_presence(NOW)


def test_unknown_ids_are_missing_in_the_result(store: Store) -> None:
    [web] = add(store, ONLINE)
    with store.begin() as transaction:
        known = transaction.presences.lock([0, -1, -(2**63), web, 2**63 - 1, web + 1, web])

    assert known.keys() == {web}


def test_an_empty_set_of_servers_can_be_locked_and_set(store: Store) -> None:
    [web] = add(store, ONLINE)
    with store.begin() as transaction:
        assert transaction.presences.lock([]) == {}
        transaction.presences.set({}, offline_presence(NOW))

    assert presence_of(store, web) == ONLINE


def test_a_lock_is_held_until_the_transaction_ends(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    ids = add(stores[0], ONLINE, ONLINE)

    def count(store: Store, order: list[int]) -> None:
        with store.begin() as transaction:
            for server_id, known in transaction.presences.lock(order).items():
                server = transaction.servers.get(server_id)
                transaction.servers.save(replace(server, config_revision=known.config_revision + 1))

    at_once([partial(count, stores[n % 2], ids if n % 3 else ids[::-1]) for n in range(24)])

    with stores[0].begin() as transaction:
        assert [k.config_revision for k in transaction.presences.lock(ids).values()] == [24, 24]


def test_the_given_servers_get_the_presence_and_no_others(store: Store) -> None:
    first, second, third = add(store, NEVER_SEEN, ONLINE, offline_presence(NOW))
    later = online_presence(NOW + SECOND, INTERVAL)
    set_presence(store, [third, first], later)

    assert presence_of(store, first) == later
    assert presence_of(store, second) == ONLINE
    assert presence_of(store, third) == later


def test_hundreds_of_servers_are_set_at_once(store: Store) -> None:
    ids = add(store, *[NEVER_SEEN] * 300)
    set_presence(store, ids, ONLINE)

    assert count_online(store) == 300


def test_a_presence_changes_nothing_else(store: Store) -> None:
    with store.begin() as transaction:
        server = replace(
            transaction.servers.add("web", "production"), is_default=True, config_revision=3
        )
        transaction.servers.save(server)
        transaction.capability_reports.record({server.server_id: CAPABILITIES}, NOW)
    set_presence(store, [server.server_id], ONLINE)

    with store.begin() as transaction:
        assert transaction.servers.get(server.server_id) == replace(
            server, presence=ONLINE, capabilities=CAPABILITIES
        )


def test_only_online_servers_are_counted(store: Store) -> None:
    assert count_online(store) == 0

    add(store, ONLINE, offline_presence(NOW), NEVER_SEEN, ONLINE)

    assert count_online(store) == 2


def test_servers_past_their_deadline_expire(store: Store) -> None:
    patient = online_presence(NOW, 2 * INTERVAL)
    silent, with_longer_interval, gone, never = add(
        store, ONLINE, patient, offline_presence(NOW), NEVER_SEEN
    )

    assert expire(store, DEADLINE + MICROSECOND) == [silent]
    assert presence_of(store, silent) == Presence(Status.OFFLINE, NOW, None)
    assert presence_of(store, with_longer_interval) == patient
    assert presence_of(store, gone) == offline_presence(NOW)
    assert presence_of(store, never) == NEVER_SEEN


def test_a_server_does_not_expire_at_the_deadline_itself(store: Store) -> None:
    add(store, ONLINE)

    assert expire(store, DEADLINE) == []
    assert count_online(store) == 1


def test_no_server_expires_twice(store: Store) -> None:
    ids = add(store, ONLINE, ONLINE)

    assert expire(store, DEADLINE + SECOND) == ids
    assert expire(store, DEADLINE + SECOND) == []


def test_a_server_whose_heartbeat_arrives_while_a_sweep_waits_does_not_expire(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    spoke, silent = add(stores[0], ONLINE, ONLINE)
    late = DEADLINE + SECOND
    with ThreadPoolExecutor() as threads:
        with stores[0].begin() as transaction:
            transaction.presences.lock([spoke])
            sweep = threads.submit(expire, stores[1], late)
            # Usually long enough for the sweep to wait for the lock; if not, the test passes too.
            sleep(0.1)
            transaction.presences.set({spoke: 0}, online_presence(late, INTERVAL))

        assert sweep.result() == [silent]
    assert presence_of(stores[0], spoke) == online_presence(late, INTERVAL)


def test_a_server_does_not_expire_while_its_transport_is_disconnected(store: Store) -> None:
    over_amqp, over_grpc, by_hand = add(
        store,
        online_presence(NOW, INTERVAL, "amqp"),
        online_presence(NOW, INTERVAL, "grpc"),
        ONLINE,
    )
    late = DEADLINE + SECOND
    with store.begin() as transaction:
        expired = transaction.presences.expire(late, unheard_transports=["amqp", "pigeon"])

    assert sorted(expired) == [over_grpc, by_hand]
    assert expire(store, late) == [over_amqp]
