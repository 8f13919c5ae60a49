from dataclasses import fields, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.errors import InvalidField
from domain.machine_evidence import (
    KINDS,
    NO_EVIDENCE,
    Claim,
    Evidence,
    Match,
    check_evidence,
    classify_claim,
    compare,
    kinds_in_words,
    matches_ban,
    same_claimant,
)
from tests.support.builders import evidence

# Few values of each kind, so that they often agree.
DIGESTS = st.sampled_from(["", "a" * 32, "b" * 32])
EVIDENCE = st.builds(Evidence, *[DIGESTS] * 5)
# What a process can always read, and its own instance id.
OF_A_PROCESS = st.builds(
    Evidence, *[DIGESTS] * 3, boot_id=st.just("c" * 32), instance_id=st.just("d" * 32)
)
FULL = Evidence("1" * 32, "2" * 32, "3" * 32, "4" * 32, "5" * 32)
DISK = {"machine_id", "engine_id"}

kinds = st.sampled_from(sorted(KINDS))


def other(evidence: Evidence, *which: str) -> Evidence:
    """The same evidence without some kinds."""
    return replace(evidence, **dict.fromkeys(which, "f" * 32))


def without(evidence: Evidence, *which: str) -> Evidence:
    return replace(evidence, **dict.fromkeys(which, ""))


def sources(kinds: tuple[str, ...]) -> int:
    return len({"disk" if kind in DISK else kind for kind in kinds})


@given(one=EVIDENCE, another=EVIDENCE)
def test_the_order_of_the_evidence_does_not_matter(one: Evidence, another: Evidence) -> None:
    assert compare(one, another) == compare(another, one)


@given(one=EVIDENCE, another=EVIDENCE)
def test_only_evidence_that_both_sides_have_agrees_or_differs(
    one: Evidence, another: Evidence
) -> None:
    comparison = compare(one, another)
    both = [kind for kind in KINDS if getattr(one, kind) and getattr(another, kind)]

    assert sorted(comparison.agreeing + comparison.differing) == sorted(both)
    assert all(getattr(one, kind) == getattr(another, kind) for kind in comparison.agreeing)


@given(one=EVIDENCE, another=EVIDENCE)
def test_a_machine_is_recognised_by_two_sources_and_never_by_one(
    one: Evidence, another: Evidence
) -> None:
    assume(one.instance_id != another.instance_id)
    comparison = compare(one, another)

    if comparison.same_machine:
        assert sources(comparison.agreeing) >= 2
    if sources(comparison.agreeing) >= 2 and "hardware_id" not in comparison.differing:
        assert comparison.same_machine


@given(evidence=EVIDENCE, kind=kinds)
def test_no_single_kind_of_evidence_recognises_a_machine(evidence: Evidence, kind: str) -> None:
    alone = without(evidence, *(KINDS.keys() - {kind}), "instance_id")

    assert not compare(alone, alone).same_machine
    assert not compare(evidence, other(alone, "instance_id")).same_machine


@settings(max_examples=1000)
@given(one=EVIDENCE, another=EVIDENCE, missing=kinds)
def test_missing_evidence_never_reverses_the_match(
    one: Evidence, another: Evidence, missing: str
) -> None:
    whole, less = compare(one, another), compare(one, without(another, missing))

    if whole.same_machine:
        assert less.match is not Match.OTHER_MACHINE
    if whole.match is Match.OTHER_MACHINE:
        assert not less.same_machine


@settings(max_examples=1000)
@given(one=EVIDENCE, another=EVIDENCE, missing=st.sets(kinds))
def test_missing_evidence_never_makes_another_machine_the_same(
    one: Evidence, another: Evidence, missing: set[str]
) -> None:
    if compare(one, another).match is Match.OTHER_MACHINE:
        assert not compare(one, without(another, *missing)).same_machine


@given(one=EVIDENCE, another=EVIDENCE)
def test_only_the_same_instance_id_makes_the_same_process(one: Evidence, another: Evidence) -> None:
    if compare(one, another).match is Match.SAME_PROCESS:
        assert one.instance_id == another.instance_id != ""


@given(process=OF_A_PROCESS)
def test_a_process_that_registers_again_is_recognised_with_little_evidence(
    process: Evidence,
) -> None:
    assert compare(process, process).match is Match.SAME_PROCESS


@given(process=OF_A_PROCESS, appeared=kinds)
def test_a_process_is_recognised_with_more_evidence_than_before(
    process: Evidence, appeared: str
) -> None:
    assume(appeared != "boot_id")
    before = without(process, appeared)

    assert compare(before, process).match is Match.SAME_PROCESS


@given(one=EVIDENCE, another=EVIDENCE)
def test_a_different_board_is_never_the_same_machine(one: Evidence, another: Evidence) -> None:
    comparison = compare(one, another)

    if "hardware_id" in comparison.differing:
        assert not comparison.same_machine


@pytest.mark.parametrize(
    ("what", "given", "verdict"),
    [
        ("the host manager was started again", other(FULL, "instance_id"), Match.SAME_MACHINE),
        ("it registers again", FULL, Match.SAME_PROCESS),
        ("the machine was started again", other(FULL, "boot_id"), Match.SAME_PROCESS),
        ("Docker was reinstalled", other(FULL, "engine_id"), Match.SAME_PROCESS),
        ("the machine-id was regenerated", other(FULL, "machine_id"), Match.SAME_PROCESS),
        ("a clone of the disk", other(FULL, "hardware_id", "boot_id"), Match.OTHER_MACHINE),
        ("a copy while it ran", other(FULL, "hardware_id"), Match.UNCLEAR),
        ("a new installation", other(FULL, *DISK, "boot_id"), Match.UNCLEAR),
        (
            "a clone of the disk, or a restart, where the board cannot be read",
            without(other(FULL, "boot_id"), "hardware_id"),
            Match.UNCLEAR,
        ),
        (
            "another machine, where the board cannot be read",
            without(other(FULL, *DISK, "boot_id"), "hardware_id"),
            Match.OTHER_MACHINE,
        ),
        ("another machine", other(FULL, *KINDS), Match.OTHER_MACHINE),
        ("a host that says nothing", NO_EVIDENCE, Match.UNCLEAR),
    ],
)
def test_typical_cases_of_machines(what: str, given: Evidence, verdict: Match) -> None:
    assert compare(FULL, given).match is verdict, what


@given(known=EVIDENCE, given=EVIDENCE, alive=st.booleans())
def test_a_claim_is_decided_by_name_exactly_if_one_side_has_no_evidence(
    known: Evidence, given: Evidence, alive: bool
) -> None:
    claim = classify_claim(known, given, compare(known, given), holder_is_alive=alive)

    assert (claim is Claim.BY_NAME) == (not known or not given)


@given(known=EVIDENCE, given=EVIDENCE)
def test_only_a_living_holder_makes_a_succession_a_contest(
    known: Evidence, given: Evidence
) -> None:
    comparison = compare(known, given)
    alive = classify_claim(known, given, comparison, holder_is_alive=True)
    silent = classify_claim(known, given, comparison, holder_is_alive=False)

    if alive is Claim.CONTEST:
        assert silent is Claim.SUCCESSION
    else:
        assert silent is alive
    assert alive is not Claim.SUCCESSION


@given(known=EVIDENCE, given=EVIDENCE, alive=st.booleans())
def test_the_machine_that_has_a_server_never_contests_it(
    known: Evidence, given: Evidence, alive: bool
) -> None:
    comparison = compare(known, given)
    assume(known and given)
    claim = classify_claim(known, given, comparison, holder_is_alive=alive)

    assert (claim is Claim.OWN) == comparison.same_machine


def test_another_machine_contests_a_living_holder_and_succeeds_a_silent_one() -> None:
    known = evidence("disk", "board", "boot", "process")
    claimed = evidence("other disk", "other board", "other boot", "other process")
    claims = [
        classify_claim(known, claimed, compare(known, claimed), holder_is_alive=is_alive)
        for is_alive in (True, False)
    ]

    assert claims == [Claim.CONTEST, Claim.SUCCESSION]


@given(banned=EVIDENCE, given=EVIDENCE)
def test_a_ban_matches_only_evidence_in_common(banned: Evidence, given: Evidence) -> None:
    if matches_ban(banned, given):
        assert compare(banned, given).agreeing


@given(banned=EVIDENCE, given=EVIDENCE)
def test_a_ban_matches_the_same_machine_and_no_other(banned: Evidence, given: Evidence) -> None:
    comparison = compare(banned, given)

    assert matches_ban(banned, given) or not comparison.same_machine
    assert not (matches_ban(banned, given) and comparison.match is Match.OTHER_MACHINE)


@given(banned=EVIDENCE, instance=DIGESTS)
def test_a_restart_does_not_lift_a_ban(banned: Evidence, instance: str) -> None:
    assume(banned)

    assert matches_ban(banned, replace(banned, instance_id=instance))
    if without(banned, "boot_id"):
        assert matches_ban(banned, other(banned, "boot_id", "instance_id"))


@given(evidence=EVIDENCE)
def test_a_machine_that_claims_again_is_the_same_claimant(evidence: Evidence) -> None:
    assert same_claimant(evidence, evidence) == bool(evidence)


def test_a_claimant_with_a_reinstalled_docker_is_the_same() -> None:
    assert same_claimant(FULL, other(FULL, "engine_id"))
    assert not same_claimant(FULL, other(FULL, *DISK, "boot_id"))


@given(before=EVIDENCE, given=EVIDENCE)
def test_another_machine_is_not_the_same_claimant(before: Evidence, given: Evidence) -> None:
    if compare(before, given).match is Match.OTHER_MACHINE:
        assert not same_claimant(before, given)


@given(evidence=st.builds(Evidence, *[st.text("0123456789abcdef", min_size=32, max_size=32)] * 5))
def test_digests_and_empty_fields_are_valid_evidence(evidence: Evidence) -> None:
    check_evidence(evidence)
    check_evidence(NO_EVIDENCE)


@given(
    field=st.sampled_from([field.name for field in fields(Evidence)]),
    digest=st.text(min_size=1, max_size=40)
    | st.text("0123456789abcdefABCDEF", min_size=31, max_size=33),
)
def test_an_invalid_digest_is_refused_with_its_field(field: str, digest: str) -> None:
    assume(len(digest) != 32 or digest.strip("0123456789abcdef"))

    with pytest.raises(InvalidField) as refused:
        check_evidence(replace(FULL, **{field: digest}))

    assert refused.value.field == f"evidence.{field}"


@given(instance=DIGESTS)
def test_an_instance_id_alone_is_no_evidence_of_a_machine(instance: str) -> None:
    assert not Evidence(instance_id=instance)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ((), ""),
        (("boot_id",), "boot id"),
        (("machine_id", "boot_id"), "machine-id and boot id"),
        (tuple(KINDS), "machine-id, hardware id, Docker engine ID and boot id"),
    ],
)
def test_the_names_of_evidence_form_a_list(which: tuple[str, ...], words: str) -> None:
    assert kinds_in_words(which) == words
