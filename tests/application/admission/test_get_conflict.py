import pytest

from application.admission.get_conflict import GetConflict
from application.admission.list_conflicts import ListConflicts
from domain.errors import ConflictNotFound
from tests.support.contests import contested
from tests.support.fleet import Fleet


def test_a_conflict_is_found_by_its_id(fleet: Fleet) -> None:
    contested(fleet, "web")
    [conflict] = ListConflicts(fleet.store)(size=10).conflicts

    assert GetConflict(fleet.store)(conflict.conflict_id) == conflict


@pytest.mark.parametrize("conflict_id", [0, -1, 4711, 2**63 - 1])
def test_an_unknown_conflict_is_not_found(fleet: Fleet, conflict_id: int) -> None:
    with pytest.raises(ConflictNotFound):
        GetConflict(fleet.store)(conflict_id)
