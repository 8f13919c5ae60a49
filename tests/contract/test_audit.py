"""The audit log of the stores."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from application.ports.store.access.audit import AuditEntry
from application.ports.store.store import Store
from tests.support.builders import NOW, SECOND, at_once

LONGEST = AuditEntry(
    at=NOW,
    actor="Zoë ✓" * 51,
    credential_id="c" * 64,
    address="f" * 100,
    action="A" * 64,
    server_id=-(2**63),
    target="name=limits ✓ " * 100,
    outcome="it does not exist " * 100,
)


def entry(
    action: str = "DeleteServer",
    *,
    actor: str = "ann",
    server_id: int = 0,
    outcome: str = "",
    seconds: int = 0,
) -> AuditEntry:
    at = NOW + seconds * SECOND
    return AuditEntry(at, actor, "ok-abc", "10.0.0.1", action, server_id, "name=web", outcome)


def append(store: Store, *entries: AuditEntry) -> None:
    for one in entries:
        with store.begin() as transaction:
            transaction.audit.append(one)


def page(
    store: Store, before: int = 0, size: int = 100, *, server_id: int = 0, actor: str = ""
) -> list[AuditEntry]:
    with store.begin() as transaction:
        return list(transaction.audit.page(before, size, server_id, actor))


def actions(entries: list[AuditEntry]) -> list[str]:
    return [entry.action for entry in entries]


@pytest.mark.parametrize("appended", [entry(), entry(outcome="no"), LONGEST])
def test_an_entry_comes_back_as_it_was_appended(store: Store, appended: AuditEntry) -> None:
    append(store, appended)
    [entry] = page(store)

    assert entry == replace(appended, entry_id=entry.entry_id)
    assert entry.entry_id > 0


def test_a_repeated_entry_is_added_and_changes_no_other(store: Store) -> None:
    append(store, entry(), entry())
    [second, first] = page(store)
    append(store, replace(first, outcome="changed"))

    assert page(store)[1:] == [second, first]
    assert second == replace(first, entry_id=second.entry_id)


def test_entries_are_listed_newest_first_in_the_order_of_appending(store: Store) -> None:
    # The clocks of two APIs may differ.
    append(store, entry("A", seconds=2), entry("B", seconds=1), entry("C", seconds=3))

    assert actions(page(store)) == ["C", "B", "A"]


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pages_of_any_size_list_each_entry_once(store: Store, size: int) -> None:
    append(store, *(entry(f"Call{n}") for n in range(7)))
    walked: list[AuditEntry] = []
    while entries := page(store, walked[-1].entry_id if walked else 0, size):
        assert len(entries) <= size
        walked += entries

    assert actions(walked) == [f"Call{n}" for n in reversed(range(7))]


def test_entries_appended_meanwhile_do_not_shift_later_pages(store: Store) -> None:
    append(store, *(entry(f"Call{n}") for n in range(4)))
    first = page(store, size=2)
    append(store, entry("Later"))

    assert actions(page(store, first[-1].entry_id, 2)) == ["Call1", "Call0"]


def test_entries_are_filtered_by_server_by_actor_and_by_both(store: Store) -> None:
    append(
        store,
        entry("A", actor="ann", server_id=1),
        entry("B", actor="bob", server_id=1),
        entry("C", actor="ann", server_id=2),
        entry("D", actor="ann"),
        entry("E", actor="ann", server_id=1),
    )

    assert actions(page(store, server_id=1)) == ["E", "B", "A"]
    assert actions(page(store, actor="ann")) == ["E", "D", "C", "A"]
    assert actions(page(store, server_id=1, actor="ann")) == ["E", "A"]
    newest = page(store, size=1, server_id=1, actor="ann")[0].entry_id
    assert actions(page(store, newest, 1, server_id=1, actor="ann")) == ["A"]
    assert page(store, actor="an") == page(store, actor="Ann") == page(store, server_id=3) == []


def test_no_entry_is_lost_when_many_are_appended_at_once(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]

    at_once([partial(append, stores[n % 2], entry(f"Call{n}")) for n in range(16)])

    entries = page(stores[0])
    assert sorted(actions(entries)) == sorted(f"Call{n}" for n in range(16))
    ids = [entry.entry_id for entry in entries]
    assert ids == sorted(set(ids), reverse=True)


def test_an_entry_survives_the_rollback_of_its_action(store: Store) -> None:
    append(store, entry("CreateServer"))
    try:
        with store.begin() as transaction:
            transaction.servers.add("web", "")
            transaction.audit.append(entry("Undone"))
            transaction.audit.purge(NOW + SECOND)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    append(store, entry("Next"))

    assert actions(page(store)) == ["Next", "CreateServer"]


def test_an_entry_needs_no_server_and_outlives_it(store: Store) -> None:
    with store.begin() as transaction:
        web = transaction.servers.add("web", "").server_id
    append(store, entry(server_id=web), entry(server_id=4711))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert [entry.server_id for entry in page(store)] == [4711, web]


def test_old_entries_are_purged_and_their_ids_are_not_used_again(store: Store) -> None:
    append(store, *(entry(f"Call{n}", seconds=n) for n in (0, 2, 1)))
    last = page(store)[0].entry_id

    with store.begin() as transaction:
        assert transaction.audit.purge(NOW) == 0
        assert transaction.audit.purge(NOW + 2 * SECOND) == 2
    assert actions(page(store)) == ["Call2"]
    with store.begin() as transaction:
        assert transaction.audit.purge(NOW + 3 * SECOND) == 1
    append(store, entry("Later"))
    assert page(store)[0].entry_id > last
