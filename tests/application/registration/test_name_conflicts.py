"""How refused claims are recorded, and for how long a record counts."""

from collections.abc import Sequence

import pytest

from application.registration.name_conflicts import NameConflicts
from application.registration.register_server import Registration
from domain.conflict import Conflict, ConflictState, Resolution
from domain.errors import NameInUse
from domain.events import EventKind
from domain.machine_evidence import Evidence
from domain.server import Server
from tests.support.builders import NOW, SECOND, evidence
from tests.support.fleet import Fleet

HOLDER = evidence("disk", "board", "boot 1", "process 1")
CHALLENGER = evidence("other disk", "other board", "other boot", "process 2")
THIRD = evidence("third disk", "third board", "third boot", "process 3")
# The evidence of host managers that cannot read the hardware id: the second may be the first after
# a reboot.
BLIND = evidence("disk", "", "boot 1", "process 1")
BLIND_REBOOTED = evidence("disk", "", "boot 2", "process 2")


def join(fleet: Fleet, host: Evidence, address: str = "") -> Server:
    return fleet.register(Registration("web", evidence=host, address=address)).server


def claim(fleet: Fleet, host: Evidence, address: str = "") -> None:
    with pytest.raises(NameInUse):
        join(fleet, host, address)


def conflicts(fleet: Fleet) -> Sequence[Conflict]:
    """The conflicts, newest first."""
    with fleet.store.begin() as transaction:
        return transaction.conflicts.of_name("web")


def contested(fleet: Fleet) -> list[str]:
    with fleet.store.begin() as transaction:
        return [
            entry.cause for entry in transaction.history.of(1) if entry.kind is EventKind.CONTESTED
        ]


def test_a_conflict_has_both_sides_as_they_were_at_the_last_claim(fleet: Fleet) -> None:
    join(fleet, HOLDER, "10.0.0.7")
    fleet.clock.advance(SECOND)
    claim(fleet, CHALLENGER, "10.0.0.8")
    fleet.clock.advance(SECOND)
    join(fleet, HOLDER, "10.0.0.17")
    fleet.clock.advance(SECOND)
    claim(fleet, CHALLENGER, "10.0.0.18")

    [conflict] = conflicts(fleet)
    assert (conflict.conflict_id, conflict.server_id, conflict.name) == (1, 1, "web")
    assert (conflict.state, conflict.claims) == (ConflictState.OPEN, 2)
    assert (conflict.opened_at, conflict.last_claimed_at) == (NOW + SECOND, NOW + 3 * SECOND)
    assert (conflict.holder.address, conflict.challenger.address) == ("10.0.0.17", "10.0.0.18")
    assert conflict.holder_last_seen == NOW + 2 * SECOND
    assert (conflict.holder.evidence, conflict.challenger.evidence) == (HOLDER, CHALLENGER)


@pytest.mark.parametrize("address", ["", "10.0.0.8"])
def test_a_conflict_is_reported_once_with_the_evidence(fleet: Fleet, address: str) -> None:
    join(fleet, HOLDER)
    for _ in range(3):
        claim(fleet, CHALLENGER, address)

    at = f" at {address}" if address else ""
    assert contested(fleet) == [
        f"another machine{at} claims its name: see `manmanv2 conflicts show 1`"
    ]
    with fleet.store.begin() as transaction:
        entry = transaction.history.of(1)[-1]
    assert entry.differing == ("machine_id", "hardware_id", "engine_id", "boot_id")


def test_a_possible_reboot_is_suspected_until_the_holder_sends_a_heartbeat(fleet: Fleet) -> None:
    join(fleet, BLIND)
    claim(fleet, BLIND_REBOOTED)
    [suspected] = conflicts(fleet)
    assert (suspected.state, suspected.claims) == (ConflictState.SUSPECTED, 1)
    assert contested(fleet) == []

    fleet.clock.advance(SECOND)
    join(fleet, BLIND)
    claim(fleet, BLIND_REBOOTED)

    [conflict] = conflicts(fleet)
    assert (conflict.state, conflict.claims) == (ConflictState.OPEN, 2)
    assert len(contested(fleet)) == 1


def test_each_claimant_has_a_conflict_of_its_own(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    for host in (CHALLENGER, THIRD, CHALLENGER, CHALLENGER):
        claim(fleet, host)

    assert [(one.conflict_id, one.claims) for one in conflicts(fleet)] == [(2, 1), (1, 3)]


def test_a_claim_after_the_resolution_is_a_new_conflict(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    claim(fleet, CHALLENGER)
    fleet.resolve(1, Resolution.ADOPT, "")
    join(fleet, CHALLENGER)
    claim(fleet, HOLDER)

    assert [one.state for one in conflicts(fleet)] == [ConflictState.OPEN, ConflictState.RESOLVED]


def test_a_successor_ends_its_own_conflicts_only(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    claim(fleet, THIRD)
    claim(fleet, CHALLENGER)
    with fleet.store.begin() as transaction:
        NameConflicts(transaction).expire("web", CHALLENGER)

    assert [(one.conflict_id, one.state) for one in conflicts(fleet)] == [
        (2, ConflictState.LAPSED),
        (1, ConflictState.OPEN),
    ]


def test_a_resolved_conflict_does_not_expire(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    claim(fleet, CHALLENGER)
    fleet.resolve(1, Resolution.ADOPT, "")
    with fleet.store.begin() as transaction:
        NameConflicts(transaction).expire("web", CHALLENGER)

    assert [one.state for one in conflicts(fleet)] == [ConflictState.RESOLVED]


def test_a_decision_counts_by_evidence(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    claim(fleet, CHALLENGER)
    fleet.resolve(1, Resolution.ADOPT, "")
    with fleet.store.begin() as transaction:
        names = NameConflicts(transaction)
        decisions = {
            host.instance_id: names.decision_on("web", host, 1)
            for host in (HOLDER, CHALLENGER, THIRD, Evidence())
        }
        other_name = names.decision_on("db", CHALLENGER, 1)

    found = [decision and decision.conflict_id for decision in decisions.values()]
    assert found == [1, 1, None, None]
    assert other_name is None


def test_a_decision_is_touched_while_the_loser_claims_the_name(fleet: Fleet) -> None:
    join(fleet, HOLDER)
    claim(fleet, CHALLENGER)
    fleet.resolve(1, Resolution.ADOPT, "")
    join(fleet, CHALLENGER)
    now = fleet.clock.advance(60 * SECOND)
    claim(fleet, HOLDER)

    decision = conflicts(fleet)[-1]
    assert (decision.conflict_id, decision.last_claimed_at) == (1, now)
    assert decision.resolution is Resolution.ADOPT
