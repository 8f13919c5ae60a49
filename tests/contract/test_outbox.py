from collections.abc import Callable
from dataclasses import replace
from functools import partial

from application.context.trace_context import current_trace_parent
from application.ports.store.outbox import Backlog, RecordedEvent
from application.ports.store.store import Store
from domain.events import Event, EventKind
from domain.liveness import Status, online_presence
from tests.support.builders import INTERVAL, NOW, SECOND, at_once

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def add_servers(store: Store, *names: str) -> list[int]:
    with store.begin() as transaction:
        return [transaction.servers.add(name, "production").server_id for name in names]


def record(store: Store, *events: Event) -> None:
    with store.begin() as transaction:
        transaction.outbox.add(events)


def oldest(store: Store, count: int = 1000) -> list[RecordedEvent]:
    with store.begin() as transaction:
        return list(transaction.outbox.oldest(count))


def remove(store: Store, *events: RecordedEvent) -> None:
    with store.begin() as transaction:
        transaction.outbox.remove([event.entry_id for event in events])


def lease(store: Store, holder: str, now: float, until: float) -> bool:
    with store.begin() as transaction:
        return transaction.outbox.lease(holder, NOW + now * SECOND, NOW + until * SECOND)


def release_lease(store: Store, holder: str) -> None:
    with store.begin() as transaction:
        transaction.outbox.release_lease(holder)


def test_an_event_is_recorded_with_the_current_fields_of_its_server(store: Store) -> None:
    [web] = add_servers(store, "web")
    with store.begin() as transaction:
        server = transaction.servers.get(web, lock=True)
        changed = replace(server, presence=online_presence(NOW, INTERVAL), config_revision=7)
        transaction.servers.save(changed)
        transaction.outbox.add([Event(EventKind.ONLINE, web, NOW)])
    with store.begin() as transaction:
        transaction.servers.save(replace(changed, name="db", environment="test"))
    [event] = oldest(store)

    assert event == RecordedEvent(
        entry_id=event.entry_id,
        message_id=event.message_id,
        kind=EventKind.ONLINE,
        server_id=web,
        at=NOW,
        name="web",
        environment="production",
        status=Status.ONLINE,
        config_revision=7,
    )


def test_an_event_is_recorded_with_its_trace(store: Store) -> None:
    [web] = add_servers(store, "web")
    record(store, Event(EventKind.REGISTERED, web, NOW))
    traced = current_trace_parent.set(TRACE_PARENT)
    record(store, Event(EventKind.ONLINE, web, NOW), Event(EventKind.CONFIGURED, web, NOW))
    current_trace_parent.reset(traced)

    assert [event.trace_parent for event in oldest(store)] == ["", TRACE_PARENT, TRACE_PARENT]


def test_events_are_read_in_the_order_of_recording(store: Store) -> None:
    a, b = add_servers(store, "a", "b")
    recorded = [
        Event(EventKind.REGISTERED, b, NOW),
        Event(EventKind.ONLINE, b, NOW),
        Event(EventKind.ONLINE, a, NOW + SECOND),
        Event(EventKind.STALE, b, NOW + SECOND),
        Event(EventKind.OFFLINE, a, NOW),
    ]
    record(store, *recorded[:3])
    record(store, *recorded[3:])
    events = oldest(store)

    assert [Event(event.kind, event.server_id, event.at) for event in events] == recorded
    assert [event.entry_id for event in events] == sorted(event.entry_id for event in events)
    assert len({event.message_id for event in events}) == len(recorded)
    assert [event.entry_id for event in oldest(store, 2)] == [e.entry_id for e in events[:2]]


def test_many_simultaneous_events_are_recorded_together(store: Store) -> None:
    ids = add_servers(store, *(f"web-{n}" for n in range(300)))
    record(store, *(Event(EventKind.STALE, server_id, NOW) for server_id in ids))

    assert sorted(event.server_id for event in oldest(store)) == sorted(ids)
    assert len({event.message_id for event in oldest(store)}) == 300


def test_a_removed_event_is_gone_and_its_id_is_never_used_again(store: Store) -> None:
    [web] = add_servers(store, "web")
    record(store, Event(EventKind.REGISTERED, web, NOW), Event(EventKind.ONLINE, web, NOW))
    first, second = oldest(store)
    remove(store, first, second)
    remove(store, second)

    assert oldest(store) == []
    record(store, Event(EventKind.STALE, web, NOW))
    assert oldest(store)[0].entry_id > second.entry_id


def test_an_event_outlives_its_server(store: Store) -> None:
    [web] = add_servers(store, "web")
    record(store, Event(EventKind.DELETED, web, NOW))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert [(event.kind, event.name) for event in oldest(store)] == [(EventKind.DELETED, "web")]


def test_only_one_holder_has_the_lease_at_a_time(store: Store) -> None:
    assert lease(store, "one", now=0, until=30)
    assert not lease(store, "other", now=29, until=59)
    assert lease(store, "one", now=29, until=59)
    assert not lease(store, "other", now=31, until=61)
    assert lease(store, "other", now=59, until=89)
    assert not lease(store, "one", now=60, until=90)


def test_only_the_holder_can_release_the_lease(store: Store) -> None:
    assert lease(store, "one", now=0, until=30)
    release_lease(store, "other")

    assert not lease(store, "other", now=1, until=31)
    release_lease(store, "one")
    assert lease(store, "other", now=1, until=31)


def test_one_of_many_concurrent_requests_gets_the_lease(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store() for _ in range(8)]
    granted = at_once(
        [partial(lease, store, f"api-{n}", 0, 30) for n, store in enumerate(stores)],
    )

    assert sum(granted) == 1


def test_the_backlog_has_the_number_of_waiting_events_and_the_time_of_the_oldest(
    store: Store,
) -> None:
    [web] = add_servers(store, "web")
    with store.begin() as transaction:
        before = transaction.outbox.backlog()
    record(store, Event(EventKind.ONLINE, web, NOW + SECOND), Event(EventKind.OFFLINE, web, NOW))
    with store.begin() as transaction:
        after = transaction.outbox.backlog()

    assert before == Backlog(0, None)
    assert after == Backlog(2, NOW)
