"""Concurrent claims to one name, and concurrent resolutions."""

from collections.abc import Callable
from functools import partial

import pytest

from application.ports.store.store import Store
from application.registration.register_server import Registration
from domain.conflict import ConflictState, Resolution
from domain.errors import NameInUse, NotAdmitted
from domain.machine_evidence import Evidence
from domain.server import Server
from tests.support.builders import at_once, evidence
from tests.support.fleet import Fleet

HOLDER = evidence("disk", "board", "boot", "process")
CHALLENGER = evidence("other disk", "other board", "other boot", "other process")


@pytest.fixture
def fleets(open_store: Callable[[], Store]) -> list[Fleet]:
    """Two APIs on one store."""
    return [Fleet(open_store()) for _ in range(2)]


def claim(fleet: Fleet, who: Evidence, name: str = "web") -> Server | None:
    """None if the registration is refused."""
    try:
        return fleet.register(Registration(name, evidence=who)).server
    except (NameInUse, NotAdmitted):
        return None


def test_one_of_many_machines_that_claim_a_name_at_once_gets_it(fleets: list[Fleet]) -> None:
    machines = [
        evidence(*[f"{part} {n}" for part in ("disk", "board", "boot", "process")])
        for n in range(6)
    ]
    outcomes = at_once([partial(claim, fleets[n % 2], who) for n, who in enumerate(machines)])
    [winner] = filter(None, outcomes)

    assert winner.epoch == 1
    with fleets[0].store.begin() as transaction:
        holder = transaction.identities.get(winner.server_id)
        conflicts = transaction.conflicts.of_name("web")
    assert holder.evidence == machines[outcomes.index(winner)]
    assert len(conflicts) == len(machines) - 1


def test_concurrent_claims_are_one_conflict_that_counts_all(fleets: list[Fleet]) -> None:
    claim(fleets[0], HOLDER)
    outcomes = at_once([partial(claim, fleets[n % 2], CHALLENGER) for n in range(8)])

    assert outcomes == [None] * 8
    with fleets[0].store.begin() as transaction:
        [conflict] = transaction.conflicts.of_name("web")
    assert conflict.claims == 8


@pytest.mark.parametrize("resolution", [Resolution.ADOPT, Resolution.EVICT])
def test_a_resolution_during_claims_is_not_lost(
    fleets: list[Fleet], resolution: Resolution
) -> None:
    first = claim(fleets[0], HOLDER)
    claim(fleets[0], CHALLENGER)
    with fleets[0].store.begin() as transaction:
        [conflict] = transaction.conflicts.of_name("web")
    calls: list[Callable[[], object]] = [
        partial(claim, fleets[n % 2], CHALLENGER) for n in range(6)
    ]
    calls.insert(3, partial(fleets[0].resolve, conflict.conflict_id, resolution))
    at_once(calls)
    winner = claim(fleets[1], CHALLENGER)

    assert first
    assert winner
    assert (winner.server_id == first.server_id) is (resolution is Resolution.ADOPT)
    assert claim(fleets[0], HOLDER) is None
    with fleets[0].store.begin() as transaction:
        settled = transaction.conflicts.get(conflict.conflict_id)
    assert (settled.state, settled.resolution) == (ConflictState.RESOLVED, resolution)


def test_concurrent_bans_of_servers_of_one_machine_do_not_deadlock(fleets: list[Fleet]) -> None:
    names = [f"web-{n}" for n in range(6)]
    ids = [server.server_id for name in names if (server := claim(fleets[0], HOLDER, name))]
    at_once([partial(fleets[n % 2].ban, server_id) for n, server_id in enumerate(ids)])

    assert len(ids) == len(names)
    assert [claim(fleets[0], HOLDER, name) for name in names] == [None] * len(names)
    assert claim(fleets[0], HOLDER, "new") is None
