"""Stored dry-run refusals: calls that ENFORCEMENT let through with a warning."""

from collections.abc import Callable
from functools import partial

from application.ports.store.dry_run_refusals import DryRunRefusal
from application.ports.store.store import Store
from domain.enforcement import Switch
from tests.support.builders import NOW, SECOND, at_once


def record(
    store: Store,
    switch: Switch = Switch.EPOCH,
    server_id: int = 1,
    name: str = "web",
    reason: str = "an older one",
    seconds: int = 0,
) -> None:
    with store.begin() as transaction:
        transaction.dry_run_refusals.record(switch, server_id, name, reason, NOW + seconds * SECOND)


def page(store: Store, after: int = 0, size: int = 100) -> list[DryRunRefusal]:
    with store.begin() as transaction:
        return list(transaction.dry_run_refusals.page(after, size))


def test_the_first_refusal_of_its_kind_is_counted_once(store: Store) -> None:
    record(store, Switch.NAME_CONFLICT, 42, "web ✓", "another machine holds it")
    [entry] = page(store)

    assert entry == DryRunRefusal(
        entry.entry_id,
        Switch.NAME_CONFLICT,
        42,
        "web ✓",
        "another machine holds it",
        count=1,
        first_at=NOW,
        last_at=NOW,
    )


def test_a_repeated_refusal_is_counted_with_its_last_reason(store: Store) -> None:
    for seconds, reason in enumerate(("one", "two", "three")):
        record(store, reason=reason, seconds=seconds)
    [entry] = page(store)

    assert (entry.count, entry.reason) == (3, "three")
    assert (entry.first_at, entry.last_at) == (NOW, NOW + 2 * SECOND)


def test_each_switch_server_and_name_is_counted_separately(store: Store) -> None:
    keys = [
        (switch, server_id, name)
        for switch in Switch
        for server_id in (0, 7)
        for name in ("", "web")
    ]
    for count in (1, 2):
        for key in keys[: len(keys) // count]:
            record(store, *key)
    entries = page(store)

    assert [(entry.switch, entry.server_id, entry.name) for entry in entries] == keys
    assert [entry.count for entry in entries] == [2] * (len(keys) // 2) + [1] * (len(keys) // 2)


def test_no_refusal_is_lost_when_many_are_recorded_at_once(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    at_once([partial(record, stores[n % 2], seconds=1) for n in range(16)])

    assert [entry.count for entry in page(stores[0])] == [16]


def test_pages_of_any_size_list_each_entry_once_oldest_first(store: Store) -> None:
    for n in range(7):
        record(store, name=f"web-{n}")
    record(store, name="web-0")

    for size in (1, 3, 7, 100):
        walked: list[DryRunRefusal] = []
        while entries := page(store, walked[-1].entry_id if walked else 0, size):
            assert len(entries) <= size
            walked += entries
        assert [entry.name for entry in walked] == [f"web-{n}" for n in range(7)]


def test_refusals_that_have_not_recurred_are_purged(store: Store) -> None:
    for seconds, name in enumerate(("gone", "recent", "again")):
        record(store, name=name, seconds=seconds)
    record(store, name="gone", seconds=0)
    record(store, name="again", seconds=9)

    with store.begin() as transaction:
        assert transaction.dry_run_refusals.purge(NOW) == 0
        assert transaction.dry_run_refusals.purge(NOW + SECOND) == 1
    assert [entry.name for entry in page(store)] == ["recent", "again"]
    record(store, name="gone", seconds=10)
    assert [entry.count for entry in page(store) if entry.name == "gone"] == [1]


def test_a_refusal_that_is_rolled_back_is_not_counted(store: Store) -> None:
    record(store)
    try:
        with store.begin() as transaction:
            transaction.dry_run_refusals.record(Switch.EPOCH, 1, "web", "undone", NOW)
            transaction.dry_run_refusals.record(Switch.EPOCH, 2, "db", "undone", NOW)
            transaction.dry_run_refusals.purge(NOW + SECOND)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass

    assert [(entry.name, entry.count, entry.reason) for entry in page(store)] == [
        ("web", 1, "an older one")
    ]
