from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from application.ports.store.store import Store
from domain.events import Event, EventKind
from domain.history import MAX_HISTORY_ENTRIES, HistoryEntry
from tests.support.builders import NOW, SECOND, at_once


def add_server(store: Store, name: str) -> int:
    with store.begin() as transaction:
        return transaction.servers.add(name, "").server_id


def record(store: Store, *events: Event) -> None:
    with store.begin() as transaction:
        transaction.presences.lock({event.server_id for event in events})
        transaction.outbox.add(events)


def history(store: Store, server_id: int) -> list[HistoryEntry]:
    with store.begin() as transaction:
        return list(transaction.history.of(server_id))


def causes(store: Store, server_id: int) -> list[str]:
    return [entry.cause for entry in history(store, server_id)]


def numbered(server_id: int, *numbers: int) -> list[Event]:
    """One event per second, each different from the one before."""
    return [
        Event(EventKind.ONLINE, server_id, NOW + number * SECOND, str(number)) for number in numbers
    ]


def test_a_server_without_events_has_no_history(store: Store) -> None:
    assert history(store, add_server(store, "web")) == []
    assert history(store, 4711) == []


def test_every_event_is_part_of_the_history_of_its_server(store: Store) -> None:
    web, db = add_server(store, "web"), add_server(store, "db")
    record(
        store,
        Event(EventKind.REGISTERED, web, NOW, "its host registered from 10.0.0.7"),
        Event(EventKind.REGISTERED, db, NOW, "its host registered from 10.0.0.8"),
        Event(EventKind.TAKEN_OVER, web, NOW, "gone", ("boot_id",), ("machine_id", "engine_id")),
    )
    record(store, Event(EventKind.STALE, web, NOW + SECOND))

    assert history(store, web) == [
        HistoryEntry(NOW, EventKind.REGISTERED, "its host registered from 10.0.0.7"),
        HistoryEntry(NOW, EventKind.TAKEN_OVER, "gone", ("boot_id",), ("machine_id", "engine_id")),
        HistoryEntry(NOW + SECOND, EventKind.STALE, ""),
    ]
    assert causes(store, db) == ["its host registered from 10.0.0.8"]


def test_a_rolled_back_event_is_not_in_the_history(store: Store) -> None:
    web, db = add_server(store, "web"), add_server(store, "db")
    record(store, *numbered(web, 1))
    with suppress(ZeroDivisionError), store.begin() as transaction:
        transaction.outbox.add(numbered(web, 2))
        transaction.history.move(web, db)
        transaction.history.purge([db])
        raise ZeroDivisionError

    assert (causes(store, web), causes(store, db)) == (["1"], [])


def test_only_the_last_entries_stay(store: Store) -> None:
    web, db = add_server(store, "web"), add_server(store, "db")
    for number in range(MAX_HISTORY_ENTRIES + 5):
        record(store, *numbered(web, number))
        record(store, *numbered(db, number))
    last = [str(number) for number in range(5, MAX_HISTORY_ENTRIES + 5)]

    assert causes(store, web) == causes(store, db) == last


def test_only_the_last_entries_of_many_events_at_once_stay(store: Store) -> None:
    web = add_server(store, "web")
    record(store, *numbered(web, *range(3 * MAX_HISTORY_ENTRIES)))

    assert causes(store, web) == [
        str(n) for n in range(2 * MAX_HISTORY_ENTRIES, 3 * MAX_HISTORY_ENTRIES)
    ]


def test_an_event_of_many_servers_is_in_the_history_of_each(store: Store) -> None:
    ids = [add_server(store, f"web-{number}") for number in range(5)]
    for number in range(MAX_HISTORY_ENTRIES + 1):
        at = NOW + number * SECOND
        record(store, *(Event(EventKind.STALE, each, at, str(number)) for each in ids))

    assert {tuple(causes(store, each)) for each in ids} == {
        tuple(str(number) for number in range(1, MAX_HISTORY_ENTRIES + 1))
    }


def test_a_history_outlives_its_server_until_it_is_purged(store: Store) -> None:
    web, db = add_server(store, "web"), add_server(store, "db")
    record(store, *numbered(web, 1), *numbered(db, 1))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert causes(store, web) == ["1"]
    with store.begin() as transaction:
        transaction.history.purge([web, 4711])
    assert (causes(store, web), causes(store, db)) == ([], ["1"])


def test_a_moved_history_is_merged_by_time(store: Store) -> None:
    old, new, other = (add_server(store, name) for name in ("old", "new", "other"))
    record(store, *numbered(new, 2, 4))
    record(store, *numbered(old, 1, 3, 5))
    record(store, *numbered(other, 0))
    with store.begin() as transaction:
        transaction.history.move(old, new)

    assert causes(store, new) == ["1", "2", "3", "4", "5"]
    assert (causes(store, old), causes(store, other)) == ([], ["0"])
    record(store, *numbered(new, 6))
    assert causes(store, new)[-1] == "6"


def test_a_moved_history_keeps_its_maximum_length(store: Store) -> None:
    old, new = add_server(store, "old"), add_server(store, "new")
    record(store, *numbered(old, *range(0, 2 * MAX_HISTORY_ENTRIES, 2)))
    record(store, *numbered(new, *range(1, 2 * MAX_HISTORY_ENTRIES, 2)))
    with store.begin() as transaction:
        transaction.history.move(old, new)
    record(store, *numbered(new, 2 * MAX_HISTORY_ENTRIES))

    assert causes(store, new) == [
        str(n) for n in range(MAX_HISTORY_ENTRIES + 1, 2 * MAX_HISTORY_ENTRIES + 1)
    ]


def test_a_server_without_history_adds_nothing_when_moved(store: Store) -> None:
    old, new = add_server(store, "old"), add_server(store, "new")
    with store.begin() as transaction:
        transaction.history.move(old, new)
    record(store, *numbered(new, 1))
    with store.begin() as transaction:
        transaction.history.move(old, new)

    assert (causes(store, old), causes(store, new)) == ([], ["1"])


def test_no_event_is_lost_when_many_are_recorded_at_once(open_store: Callable[[], Store]) -> None:
    stores = [open_store() for _ in range(8)]
    web = add_server(stores[0], "web")
    at_once(
        [
            partial(record, store, Event(EventKind.ONLINE, web, NOW + timedelta(hours=n), str(n)))
            for n, store in enumerate(stores)
        ]
    )

    assert sorted(causes(stores[0], web)) == [str(number) for number in range(8)]
