"""Stored conflicts between two machines that claim one name."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from application.ports.store.store import Store
from domain.conflict import Conflict, ConflictState, Resolution
from domain.errors import ConflictNotFound
from domain.machine_evidence import UNKNOWN_IDENTITY, Identity
from tests.support.builders import NOW, SECOND, at_once, evidence


class SomethingFailed(Exception):
    pass


HOLDER = Identity(evidence("a", "a", "a", "a"), 7, "10.0.0.1", NOW - 99 * SECOND)
CHALLENGER = Identity(evidence("b", "b", "b", "b"), 8, "fe80::1", NOW)
SUSPECTED, OPEN, RESOLVED, LAPSED = ConflictState


def conflict(name: str = "web", seconds: int = 0, **changes: object) -> Conflict:
    claimed = Conflict(
        conflict_id=0,
        server_id=42,
        name=name,
        state=SUSPECTED,
        holder=HOLDER,
        holder_last_seen=NOW - SECOND,
        challenger=CHALLENGER,
        opened_at=NOW,
        last_claimed_at=NOW + seconds * SECOND,
    )
    return replace(claimed, **changes)  # type: ignore[arg-type]  # like dataclasses.replace


def add(store: Store, *conflicts: Conflict) -> list[Conflict]:
    with store.begin() as transaction:
        return [transaction.conflicts.add(one) for one in conflicts]


def save(store: Store, changed: Conflict) -> None:
    with store.begin() as transaction:
        transaction.conflicts.get(changed.conflict_id, lock=True)
        transaction.conflicts.save(changed)


def get(store: Store, conflict_id: int) -> Conflict:
    with store.begin() as transaction:
        return transaction.conflicts.get(conflict_id)


def of_name(store: Store, name: str = "web") -> list[Conflict]:
    with store.begin() as transaction:
        return list(transaction.conflicts.of_name(name))


def page(store: Store, state: ConflictState, after: int = 0, size: int = 100) -> list[Conflict]:
    with store.begin() as transaction:
        return list(transaction.conflicts.page(state, after, size))


def lapse(store: Store, seconds: int) -> int:
    with store.begin() as transaction:
        return transaction.conflicts.lapse(NOW + seconds * SECOND)


def purge(store: Store, seconds: int) -> int:
    with store.begin() as transaction:
        return transaction.conflicts.purge(NOW + seconds * SECOND)


def test_a_conflict_comes_back_as_it_was_added(store: Store) -> None:
    [added] = add(store, conflict("web ✓"))

    assert added == replace(conflict("web ✓"), conflict_id=added.conflict_id)
    assert added.conflict_id > 0
    assert get(store, added.conflict_id) == added


def test_a_conflict_with_empty_fields_comes_back_as_it_was_added(store: Store) -> None:
    [added] = add(
        store, conflict(holder=UNKNOWN_IDENTITY, challenger=UNKNOWN_IDENTITY, holder_last_seen=None)
    )

    assert get(store, added.conflict_id) == added


def test_all_changed_fields_of_a_conflict_are_saved(store: Store) -> None:
    first, second = add(store, conflict(), conflict())
    changed = Conflict(
        conflict_id=first.conflict_id,
        server_id=43,
        name="db",
        state=RESOLVED,
        holder=CHALLENGER,
        holder_last_seen=None,
        challenger=HOLDER,
        opened_at=NOW - SECOND,
        last_claimed_at=NOW + SECOND,
        claims=2**40,
        resolution=Resolution.RENAME,
        new_name="db-2",
        resolved_at=NOW + 2 * SECOND,
    )
    save(store, changed)

    assert get(store, first.conflict_id) == changed
    assert get(store, second.conflict_id) == second


@pytest.mark.parametrize("conflict_id", [0, -1, 4711, 2**63 - 1])
def test_an_unknown_conflict_is_not_found(store: Store, conflict_id: int) -> None:
    for lock in (False, True):
        with pytest.raises(ConflictNotFound) as missing, store.begin() as transaction:
            transaction.conflicts.get(conflict_id, lock=lock)
        assert missing.value.conflict_id == conflict_id


def test_conflicts_of_a_name_are_listed_newest_first_in_any_state(store: Store) -> None:
    added = add(store, *(conflict(state=state) for state in ConflictState), conflict("Web"))

    assert of_name(store) == added[3::-1]
    assert of_name(store, "Web") == added[4:]
    assert of_name(store, "db") == []


def test_a_conflict_read_for_update_is_locked(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    [added] = add(stores[0], conflict(claims=0))

    def count(store: Store) -> None:
        with store.begin() as transaction:
            conflict = transaction.conflicts.get(added.conflict_id, lock=True)
            transaction.conflicts.save(replace(conflict, claims=conflict.claims + 1))

    at_once([partial(count, stores[n % 2]) for n in range(16)])

    assert get(stores[0], added.conflict_id).claims == 16


@pytest.mark.parametrize("state", list(ConflictState))
def test_pages_of_any_size_list_each_conflict_of_a_state_once_in_order(
    store: Store, state: ConflictState
) -> None:
    states = [*ConflictState, state, *ConflictState, state, state]
    added = add(store, *(conflict(state=one) for one in states))

    for size in (1, 2, 5, 100):
        walked: list[Conflict] = []
        while conflicts := page(store, state, walked[-1].conflict_id if walked else 0, size):
            assert len(conflicts) <= size
            walked += conflicts
        assert walked == [one for one in added if one.state is state]


def test_only_unresolved_conflicts_without_recent_claims_lapse(store: Store) -> None:
    old = add(store, *(conflict(state=state) for state in ConflictState))
    claimed = add(store, *(conflict(state=state, seconds=5) for state in ConflictState))

    assert lapse(store, seconds=0) == 0
    assert lapse(store, seconds=5) == 2
    assert lapse(store, seconds=5) == 0
    assert [get(store, one.conflict_id).state for one in old] == [LAPSED, LAPSED, RESOLVED, LAPSED]
    assert [get(store, one.conflict_id) for one in claimed] == claimed


def test_only_useless_conflicts_are_purged(store: Store) -> None:
    resolved = [conflict(state=RESOLVED, resolution=one) for one in Resolution]
    old = add(store, *(conflict(state=state) for state in (SUSPECTED, OPEN, LAPSED)), *resolved)
    claimed = add(store, conflict(state=LAPSED, seconds=5))

    assert purge(store, seconds=0) == 0
    assert purge(store, seconds=5) == 3
    assert purge(store, seconds=5) == 0
    left = of_name(store)[::-1]
    assert left == [old[0], old[1], old[4], claimed[0]]
    assert old[4].resolution is Resolution.RENAME


def test_the_id_of_a_purged_conflict_is_never_used_again(store: Store) -> None:
    [first] = add(store, conflict(state=LAPSED))
    purge(store, seconds=1)
    [second] = add(store, conflict())

    assert second.conflict_id > first.conflict_id


def test_a_conflict_outlives_its_server(store: Store) -> None:
    with store.begin() as transaction:
        web = transaction.servers.add("web", "").server_id
    [added] = add(store, conflict(server_id=web))
    with store.begin() as transaction:
        transaction.servers.remove(web)

    assert get(store, added.conflict_id) == added


def test_conflicts_are_counted_by_state(store: Store) -> None:
    add(store, conflict(state=OPEN), conflict(state=SUSPECTED), conflict("db", state=OPEN))

    with store.begin() as transaction:
        counts = {state: transaction.conflicts.count(state) for state in ConflictState}
    assert counts == {SUSPECTED: 1, OPEN: 2, RESOLVED: 0, LAPSED: 0}


def test_conflicts_can_lapse_and_be_purged_concurrently(
    open_store: Callable[[], Store],
) -> None:
    stores = [open_store(), open_store()]
    add(stores[0], *(conflict(f"web-{n}") for n in range(50)))

    assert sum(at_once([partial(lapse, stores[n % 2], 1) for n in range(8)])) == 50
    assert sum(at_once([partial(purge, stores[n % 2], 1) for n in range(8)])) == 50


def test_a_rollback_leaves_conflicts_as_they_were(store: Store) -> None:
    open_, lapsed = add(store, conflict(state=OPEN), conflict(state=LAPSED))

    def fail() -> None:
        with store.begin() as transaction:
            transaction.conflicts.add(conflict())
            transaction.conflicts.save(replace(open_, name="db"))
            assert transaction.conflicts.purge(NOW + SECOND)
            assert transaction.conflicts.lapse(NOW + SECOND)
            raise SomethingFailed

    with pytest.raises(SomethingFailed):
        fail()
    assert of_name(store) == [lapsed, open_]
