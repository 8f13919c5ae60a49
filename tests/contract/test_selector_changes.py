from collections.abc import Callable
from dataclasses import replace
from threading import Thread

from application.ports.store.configuration.selector_changes import SelectorChange
from application.ports.store.store import Store
from domain.labels import parse_selector

TIMEOUT_SECONDS = 60.0
CHANGE = SelectorChange(
    7, parse_selector("region=nyc,!old"), resync=True, cause="an operator put the document motd"
)


def add(store: Store, *changes: SelectorChange) -> None:
    with store.begin() as transaction:
        for change in changes:
            transaction.selector_changes.add(change)


def oldest(store: Store) -> SelectorChange | None:
    with store.begin() as transaction:
        return transaction.selector_changes.oldest()


def test_a_change_waits_as_it_was_added(store: Store) -> None:
    with store.begin() as transaction:
        assert not transaction.selector_changes.any()
    add(store, CHANGE)

    assert oldest(store) == CHANGE
    with store.begin() as transaction:
        assert transaction.selector_changes.any()


def test_the_progress_of_a_change_is_stored(store: Store) -> None:
    add(store, CHANGE)
    with store.begin() as transaction:
        transaction.selector_changes.reach(CHANGE.revision, 2**40)

    assert oldest(store) == replace(CHANGE, reached=2**40)


def test_changes_are_processed_in_the_order_of_their_revisions(store: Store) -> None:
    later = replace(CHANGE, revision=9, resync=False)
    add(store, later, CHANGE)

    assert oldest(store) == CHANGE

    with store.begin() as transaction:
        transaction.selector_changes.finish(CHANGE.revision)

    assert oldest(store) == later

    with store.begin() as transaction:
        transaction.selector_changes.finish(later.revision)

    assert oldest(store) is None


def test_only_one_transaction_at_a_time_continues_a_change(open_store: Callable[[], Store]) -> None:
    store, other = open_store(), open_store()
    add(store, CHANGE)
    results: list[SelectorChange | None] = []
    waiting = Thread(target=lambda: results.append(oldest(other)))
    with store.begin() as transaction:
        assert transaction.selector_changes.oldest() == CHANGE
        waiting.start()
        waiting.join(0.3)

        assert results == []
        transaction.selector_changes.reach(CHANGE.revision, 41)
    waiting.join(TIMEOUT_SECONDS)

    assert results == [replace(CHANGE, reached=41)]
