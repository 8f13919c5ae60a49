"""Which decision of an operator applies when a machine claims a name again."""

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.conflict import Conflict, ConflictState, Resolution, decision_on, likely_cause
from domain.machine_evidence import Evidence, Identity, compare
from tests.support.builders import NOW, SECOND, evidence

MACHINES = [evidence(f"disk {n}", f"board {n}", f"boot {n}") for n in range(4)]
HOLDER, CHALLENGER, THIRD, _ = MACHINES
SERVER = 7
ADOPT, RENAME, EVICT = Resolution


def decided(
    resolution: Resolution,
    holder: Evidence = HOLDER,
    challenger: Evidence = CHALLENGER,
    seconds: int = 0,
    conflict_id: int = 1,
) -> Conflict:
    return Conflict(
        conflict_id=conflict_id,
        server_id=SERVER,
        name="web",
        state=ConflictState.RESOLVED,
        holder=Identity(holder),
        holder_last_seen=NOW,
        challenger=Identity(challenger),
        opened_at=NOW,
        last_claimed_at=NOW,
        resolution=resolution,
        new_name="web-2" if resolution is RENAME else "",
        resolved_at=NOW + seconds * SECOND,
    )


def unsettled(state: ConflictState) -> Conflict:
    return replace(decided(ADOPT), state=state, resolution=None, resolved_at=None)


conflicts = st.builds(
    decided,
    st.sampled_from(Resolution),
    st.sampled_from(MACHINES),
    st.sampled_from(MACHINES),
    st.integers(0, 5),
    st.integers(1, 9),
)


@pytest.mark.parametrize(("resolution", "server_id"), [(ADOPT, SERVER), (EVICT, None), (EVICT, 8)])
def test_a_decision_against_one_machine_is_a_decision_for_the_other(
    resolution: Resolution, server_id: int | None
) -> None:
    decision = decided(resolution)

    assert decision_on([decision], HOLDER, server_id) == decision
    assert decision_on([decision], CHALLENGER, server_id) == decision
    assert (decision.is_decided_against(HOLDER), decision.is_decided_for(HOLDER)) == (True, False)
    assert (decision.is_decided_against(CHALLENGER), decision.is_decided_for(CHALLENGER)) == (
        False,
        True,
    )


def test_a_rename_of_the_challenger_is_not_against_the_holder() -> None:
    decision = decided(RENAME)

    assert decision_on([decision], CHALLENGER, SERVER) == decision
    assert decision_on([decision], HOLDER, SERVER) is None


def test_a_decision_does_not_concern_a_third_machine() -> None:
    assert decision_on([decided(ADOPT), decided(EVICT), decided(RENAME)], THIRD, SERVER) is None


@pytest.mark.parametrize("state", [state for state in ConflictState if state != "resolved"])
def test_an_unresolved_conflict_decides_nothing(state: ConflictState) -> None:
    assert decision_on([unsettled(state)], CHALLENGER, SERVER) is None
    assert decision_on([unsettled(state)], HOLDER, SERVER) is None


@pytest.mark.parametrize(
    ("resolution", "server_id"),
    [
        # The server to be adopted is deleted.
        (ADOPT, None),
        (ADOPT, 8),
        # The server of the evicted machine is restored.
        (EVICT, SERVER),
    ],
)
def test_a_decision_ends_when_an_operator_undoes_it(
    resolution: Resolution, server_id: int | None
) -> None:
    assert decision_on([decided(resolution)], CHALLENGER, server_id) is None
    assert decision_on([decided(resolution)], HOLDER, server_id) is None


def test_the_later_of_two_decisions_applies_to_both_machines() -> None:
    first = decided(ADOPT, HOLDER, CHALLENGER, seconds=0, conflict_id=1)
    later = decided(ADOPT, CHALLENGER, HOLDER, seconds=1, conflict_id=2)

    for known in permutations([first, later]):
        assert decision_on(known, HOLDER, SERVER) == later
        assert decision_on(known, CHALLENGER, SERVER) == later


def test_the_conflict_that_was_decided_last_counts_even_if_opened_first() -> None:
    opened_first = decided(ADOPT, CHALLENGER, THIRD, seconds=9, conflict_id=1)
    opened_later = decided(ADOPT, HOLDER, CHALLENGER, seconds=1, conflict_id=2)

    for known in permutations([opened_first, opened_later]):
        assert decision_on(known, CHALLENGER, SERVER) == opened_first
        assert decision_on(known, THIRD, SERVER) == opened_first
        assert decision_on(known, HOLDER, SERVER) == opened_later


@given(st.lists(conflicts, max_size=6), st.sampled_from(MACHINES), st.randoms())
def test_the_order_in_which_decisions_are_read_does_not_matter(
    known: list[Conflict], machine: Evidence, random: Random
) -> None:
    numbered = [replace(one, conflict_id=n) for n, one in enumerate(known)]
    shuffled = list(numbered)
    random.shuffle(shuffled)

    assert decision_on(numbered, machine, SERVER) == decision_on(shuffled, machine, SERVER)


@given(conflicts, st.sampled_from(MACHINES))
def test_no_decision_is_both_for_and_against_a_machine(
    decision: Conflict, machine: Evidence
) -> None:
    assert not (decision.is_decided_for(machine) and decision.is_decided_against(machine))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (evidence("disk 0", "board 1", "boot 1"), "the disk was most likely copied"),
        (evidence("disk 0", "board 1", "boot 0"), "copied while it ran"),
        (evidence("disk 0", "", "boot 1"), "or the machine was restarted"),
        (evidence("disk 1", "board 0", "boot 1"), "reinstalled, or two boards"),
        (evidence("disk 1", "board 1", "boot 1"), "two machines were given the same name"),
        (evidence("", "", "boot 1"), "Too little is known"),
    ],
)
def test_the_likely_cause_is_explained(other: Evidence, words: str) -> None:
    assert words in likely_cause(compare(HOLDER, other))


SENTENCES = {
    "The kernel is the same: a virtual machine was most likely copied while it ran.",
    "The disk is the same, but the board differs: the disk was most likely copied.",
    (
        "The disk is the same, but the board is unknown: either the disk was copied, or the machine"
        " was restarted."
    ),
    (
        "The board is the same, but the disk differs: either the machine was reinstalled, or two"
        " boards have the same hardware id."
    ),
    "Nothing agrees: two machines were given the same name.",
    "Too little is known about the machines to tell why they have the same name.",
}


@pytest.mark.parametrize("kind", ["machine_id", "engine_id"])
def test_one_identifier_of_the_disk_is_enough_to_explain_a_conflict(kind: str) -> None:
    other_board = replace(Evidence(), hardware_id="b" * 32)
    known = replace(other_board, **{kind: "d" * 32})
    pairs = {
        "The disk is the same, but the board differs": replace(known, hardware_id="c" * 32),
        "The disk is the same, but the board is unknown": replace(known, hardware_id=""),
        "Nothing agrees": replace(Evidence(), **{kind: "e" * 32}),
    }

    for words, other in pairs.items():
        assert likely_cause(compare(known, other)).startswith(words)
    assert likely_cause(compare(known, replace(other_board, hardware_id="c" * 32))).startswith(
        "Nothing agrees"
    )


@given(st.sampled_from(MACHINES), st.sampled_from(MACHINES))
def test_a_likely_cause_is_a_whole_sentence(one: Evidence, other: Evidence) -> None:
    assert likely_cause(compare(one, other)) in SENTENCES
