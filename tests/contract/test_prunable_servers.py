"""The servers that are pruned, because they are ephemeral and long offline."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import product

from application.ports.store.servers import ServerFilter
from application.ports.store.store import Store
from domain.approval import Approval
from domain.events import Event, EventKind
from domain.labels import Labels
from domain.liveness import NEVER_SEEN, Presence, Status, offline_presence, online_presence
from domain.server import Server
from tests.support.builders import CAPABILITIES, INTERVAL, NOW, SECOND, at_once

LONG_AGO = NOW - 100 * SECOND


def add(store: Store, name: str, **changes: object) -> Server:
    """By default a prunable server."""
    gone = {"ephemeral": True, "presence": offline_presence(LONG_AGO), **changes}
    with store.begin() as transaction:
        server = replace(transaction.servers.add(name, ""), **gone)  # type: ignore[arg-type]
        transaction.servers.save(server)
    return server


def prunable(store: Store, not_seen_since: datetime = NOW, size: int = 100) -> list[Server]:
    with store.begin() as transaction:
        return list(transaction.servers.prunable(not_seen_since, size))


def test_only_ephemeral_servers_that_are_offline_for_long_are_prunable(store: Store) -> None:
    presences = [
        NEVER_SEEN,
        offline_presence(LONG_AGO),
        offline_presence(NOW - SECOND),
        offline_presence(NOW),
        offline_presence(NOW + SECOND),
        online_presence(LONG_AGO, INTERVAL),
        Presence(Status.ONLINE, None, NOW),
    ]
    servers = [
        add(store, f"web-{number}", ephemeral=ephemeral, presence=presence)
        for number, (ephemeral, presence) in enumerate(product([True, False], presences))
    ]

    assert prunable(store) == servers[1:3]
    assert prunable(store, LONG_AGO) == []
    assert prunable(store, NOW + 2 * SECOND) == servers[1:5]


def test_a_server_with_a_recent_event_is_not_prunable(store: Store) -> None:
    servers = [add(store, name) for name in ("stale-now", "restored-now", "stale-then")]
    events = [
        Event(EventKind.STALE, servers[0].server_id, NOW),
        Event(EventKind.STALE, servers[1].server_id, LONG_AGO),
        Event(EventKind.RESTORED, servers[1].server_id, NOW),
        Event(EventKind.STALE, servers[2].server_id, NOW - SECOND),
    ]
    with store.begin() as transaction:
        transaction.outbox.add(events)

    assert prunable(store) == servers[2:]
    assert prunable(store, NOW + SECOND) == servers


def test_a_rejected_server_is_not_prunable(store: Store) -> None:
    servers = [add(store, approval, approval=approval) for approval in Approval]
    approvals = [server.approval for server in prunable(store)]

    assert approvals == [Approval.APPROVED, Approval.PENDING, Approval.BANNED]
    assert len(servers) == len(approvals) + 1


def test_prunable_servers_are_listed_by_id_up_to_the_limit(store: Store) -> None:
    servers = [add(store, f"web-{9 - number}") for number in range(10)]

    assert prunable(store, size=4) == servers[:4]
    assert prunable(store, size=10) == servers


def test_prunable_servers_have_all_their_fields(store: Store) -> None:
    server_id = add(store, "web").server_id
    with store.begin() as transaction:
        transaction.labels.set_operator_labels(server_id, {"region": "nyc"})
        transaction.capability_reports.record({server_id: CAPABILITIES}, LONG_AGO)
    [server] = prunable(store)

    assert server.labels == Labels({}, {"region": "nyc"})
    assert server.capabilities == CAPABILITIES


def test_each_server_is_deleted_by_one_of_many_concurrent_prunes(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    ids = [add(stores[0], f"web-{number}").server_id for number in range(60)]

    def prune(store: Store) -> list[int]:
        deleted: list[int] = []
        while True:
            with store.begin() as transaction:
                ids = [server.server_id for server in transaction.servers.prunable(NOW, 7)]
                transaction.deleted_servers.move_to_deleted(ids, NOW, NOW, "ephemeral")
            if not ids:
                return deleted
            deleted += ids

    deleted = at_once([partial(prune, stores[number % 2]) for number in range(6)])

    assert sorted(server_id for some in deleted for server_id in some) == ids
    with stores[0].begin() as transaction:
        assert transaction.servers.page(ServerFilter(), 0, 100) == []


def test_a_server_whose_heartbeat_arrives_meanwhile_is_not_deleted(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    for turn in range(20):
        web = add(stores[0], f"web-{turn}").server_id

        def prune() -> list[int]:
            with stores[0].begin() as transaction:
                ids = [server.server_id for server in transaction.servers.prunable(NOW, 100)]
                transaction.deleted_servers.move_to_deleted(ids, NOW, NOW, "ephemeral")
            return ids

        def beat(server_id: int = web) -> list[int]:
            with stores[1].begin() as transaction:
                return list(
                    transaction.presences.set({server_id: 0}, online_presence(NOW, INTERVAL))
                )

        deleted, heard_from = at_once([prune, beat])

        # Exactly one of the two happens.
        assert sorted(deleted + heard_from) == [web]
