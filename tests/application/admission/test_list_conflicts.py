from application.admission.list_conflicts import ListConflicts
from domain.conflict import ConflictState
from tests.support.contests import contested
from tests.support.fleet import Fleet


def test_conflicts_are_listed_in_pages(fleet: Fleet) -> None:
    for n in range(5):
        contested(fleet, f"web-{n}")
    names: list[str] = []
    after: int | None = 0
    while after is not None:
        page = ListConflicts(fleet.store)(size=2, after=after)
        names += [conflict.name for conflict in page.conflicts]
        after = page.next_after

    assert names == [f"web-{n}" for n in range(5)]


def test_only_conflicts_of_the_requested_state_are_listed(fleet: Fleet) -> None:
    contested(fleet, "web")

    assert ListConflicts(fleet.store)(size=9, state=ConflictState.RESOLVED).conflicts == []
    assert len(ListConflicts(fleet.store)(size=9, state=ConflictState.OPEN).conflicts) == 1
