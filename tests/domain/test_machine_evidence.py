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
    Verdict,
    check_evidence,
    in_words,
    judge,
    meets_ban,
    same_claimant,
    weigh,
)

# Few of each kind, so that they often agree.
DIGESTS = st.sampled_from(["", "a" * 32, "b" * 32])
EVIDENCE = st.builds(Evidence, *[DIGESTS] * 5)
# What a process can always read, and how it tells itself from others.
OF_A_PROCESS = st.builds(
    Evidence, *[DIGESTS] * 3, boot_id=st.just("c" * 32), instance_id=st.just("d" * 32)
)
FULL = Evidence("1" * 32, "2" * 32, "3" * 32, "4" * 32, "5" * 32)
DISK = {"machine_id", "engine_id"}

kinds = st.sampled_from(sorted(KINDS))


def other(evidence: Evidence, *which: str) -> Evidence:
    """The same but for some kinds."""
    return replace(evidence, **dict.fromkeys(which, "f" * 32))


def without(evidence: Evidence, *which: str) -> Evidence:
    return replace(evidence, **dict.fromkeys(which, ""))


def witnesses(kinds: tuple[str, ...]) -> int:
    return len({"disk" if kind in DISK else kind for kind in kinds})


@given(one=EVIDENCE, another=EVIDENCE)
def test_it_does_not_matter_which_evidence_came_first(one: Evidence, another: Evidence) -> None:
    assert weigh(one, another) == weigh(another, one)


@given(one=EVIDENCE, another=EVIDENCE)
def test_what_agrees_and_what_differs_is_what_both_sides_have(
    one: Evidence, another: Evidence
) -> None:
    weighing = weigh(one, another)
    both = [kind for kind in KINDS if getattr(one, kind) and getattr(another, kind)]

    assert sorted(weighing.agreeing + weighing.differing) == sorted(both)
    assert all(getattr(one, kind) == getattr(another, kind) for kind in weighing.agreeing)


@given(one=EVIDENCE, another=EVIDENCE)
def test_a_machine_is_recognised_by_two_witnesses_and_never_by_one(
    one: Evidence, another: Evidence
) -> None:
    assume(one.instance_id != another.instance_id)
    weighing = weigh(one, another)

    if weighing.same_machine:
        assert witnesses(weighing.agreeing) >= 2
    if witnesses(weighing.agreeing) >= 2 and "hardware_id" not in weighing.differing:
        assert weighing.same_machine


@given(evidence=EVIDENCE, kind=kinds)
def test_no_single_kind_of_evidence_recognises_a_machine(evidence: Evidence, kind: str) -> None:
    alone = without(evidence, *(KINDS.keys() - {kind}), "instance_id")

    assert not weigh(alone, alone).same_machine
    assert not weigh(evidence, other(alone, "instance_id")).same_machine


@settings(max_examples=1000)
@given(one=EVIDENCE, another=EVIDENCE, missing=kinds)
def test_a_kind_that_is_missing_never_makes_another_machine_of_the_same_one_nor_the_reverse(
    one: Evidence, another: Evidence, missing: str
) -> None:
    whole, less = weigh(one, another), weigh(one, without(another, missing))

    if whole.same_machine:
        assert less.verdict is not Verdict.OTHER_MACHINE
    if whole.verdict is Verdict.OTHER_MACHINE:
        assert not less.same_machine


@settings(max_examples=1000)
@given(one=EVIDENCE, another=EVIDENCE, missing=st.sets(kinds))
def test_however_much_is_missing_another_machine_is_never_taken_for_the_same(
    one: Evidence, another: Evidence, missing: set[str]
) -> None:
    if weigh(one, another).verdict is Verdict.OTHER_MACHINE:
        assert not weigh(one, without(another, *missing)).same_machine


@given(one=EVIDENCE, another=EVIDENCE)
def test_it_is_the_same_process_only_with_the_same_instance_id(
    one: Evidence, another: Evidence
) -> None:
    if weigh(one, another).verdict is Verdict.SAME_PROCESS:
        assert one.instance_id == another.instance_id != ""


@given(process=OF_A_PROCESS)
def test_a_process_that_registers_again_is_recognised_however_little_it_can_read(
    process: Evidence,
) -> None:
    assert weigh(process, process).verdict is Verdict.SAME_PROCESS


@given(process=OF_A_PROCESS, appeared=kinds)
def test_a_process_is_recognised_when_it_can_read_more_than_before(
    process: Evidence, appeared: str
) -> None:
    assume(appeared != "boot_id")
    before = without(process, appeared)

    assert weigh(before, process).verdict is Verdict.SAME_PROCESS


@given(one=EVIDENCE, another=EVIDENCE)
def test_another_board_is_never_the_same_machine(one: Evidence, another: Evidence) -> None:
    weighing = weigh(one, another)

    if "hardware_id" in weighing.differing:
        assert not weighing.same_machine


@pytest.mark.parametrize(
    ("what", "given", "verdict"),
    [
        ("the host manager was started again", other(FULL, "instance_id"), Verdict.SAME_MACHINE),
        ("it registers again", FULL, Verdict.SAME_PROCESS),
        ("the machine was started again", other(FULL, "boot_id"), Verdict.SAME_PROCESS),
        ("Docker was installed anew", other(FULL, "engine_id"), Verdict.SAME_PROCESS),
        ("the machine-id was made anew", other(FULL, "machine_id"), Verdict.SAME_PROCESS),
        ("a clone of the disk", other(FULL, "hardware_id", "boot_id"), Verdict.OTHER_MACHINE),
        ("a copy while it ran", other(FULL, "hardware_id"), Verdict.UNCLEAR),
        ("a new installation", other(FULL, *DISK, "boot_id"), Verdict.UNCLEAR),
        (
            "a clone of the disk, or a restart, where the board cannot be read",
            without(other(FULL, "boot_id"), "hardware_id"),
            Verdict.UNCLEAR,
        ),
        (
            "another machine, where the board cannot be read",
            without(other(FULL, *DISK, "boot_id"), "hardware_id"),
            Verdict.OTHER_MACHINE,
        ),
        ("another machine", other(FULL, *KINDS), Verdict.OTHER_MACHINE),
        ("a host that says nothing", NO_EVIDENCE, Verdict.UNCLEAR),
    ],
)
def test_the_stories_of_machines(what: str, given: Evidence, verdict: Verdict) -> None:
    assert weigh(FULL, given).verdict is verdict, what


@given(known=EVIDENCE, given=EVIDENCE, alive=st.booleans())
def test_a_claim_is_judged_by_name_exactly_where_one_side_has_no_evidence(
    known: Evidence, given: Evidence, alive: bool
) -> None:
    claim = judge(known, given, weigh(known, given), holder_is_alive=alive)

    assert (claim is Claim.BY_NAME) == (not known or not given)


@given(known=EVIDENCE, given=EVIDENCE)
def test_only_whether_the_holder_is_alive_parts_a_contest_from_a_succession(
    known: Evidence, given: Evidence
) -> None:
    weighing = weigh(known, given)
    alive = judge(known, given, weighing, holder_is_alive=True)
    silent = judge(known, given, weighing, holder_is_alive=False)

    if alive is Claim.CONTEST:
        assert silent is Claim.SUCCESSION
    else:
        assert silent is alive
    assert alive is not Claim.SUCCESSION


@given(known=EVIDENCE, given=EVIDENCE, alive=st.booleans())
def test_the_machine_that_has_a_server_never_contests_it(
    known: Evidence, given: Evidence, alive: bool
) -> None:
    weighing = weigh(known, given)
    assume(known and given)
    claim = judge(known, given, weighing, holder_is_alive=alive)

    assert (claim is Claim.OWN) == weighing.same_machine


@given(banned=EVIDENCE, given=EVIDENCE)
def test_a_ban_meets_nobody_without_evidence_in_common(banned: Evidence, given: Evidence) -> None:
    if meets_ban(banned, given):
        assert weigh(banned, given).agreeing


@given(banned=EVIDENCE, given=EVIDENCE)
def test_a_ban_meets_the_same_machine_and_no_other(banned: Evidence, given: Evidence) -> None:
    weighing = weigh(banned, given)

    assert meets_ban(banned, given) or not weighing.same_machine
    assert not (meets_ban(banned, given) and weighing.verdict is Verdict.OTHER_MACHINE)


@given(banned=EVIDENCE, instance=DIGESTS)
def test_a_restart_is_no_way_around_a_ban(banned: Evidence, instance: str) -> None:
    assume(banned)

    assert meets_ban(banned, replace(banned, instance_id=instance))
    if without(banned, "boot_id"):
        assert meets_ban(banned, other(banned, "boot_id", "instance_id"))


@given(evidence=EVIDENCE)
def test_who_claims_again_is_the_same_claimant(evidence: Evidence) -> None:
    assert same_claimant(evidence, evidence) == bool(evidence)


def test_a_claimant_whose_docker_was_installed_anew_is_the_same() -> None:
    assert same_claimant(FULL, other(FULL, "engine_id"))
    assert not same_claimant(FULL, other(FULL, *DISK, "boot_id"))


@given(before=EVIDENCE, given=EVIDENCE)
def test_another_machine_is_not_the_same_claimant(before: Evidence, given: Evidence) -> None:
    if weigh(before, given).verdict is Verdict.OTHER_MACHINE:
        assert not same_claimant(before, given)


@given(evidence=st.builds(Evidence, *[st.text("0123456789abcdef", min_size=32, max_size=32)] * 5))
def test_digests_and_nothing_at_all_are_evidence(evidence: Evidence) -> None:
    check_evidence(evidence)
    check_evidence(NO_EVIDENCE)


@given(
    field=st.sampled_from([field.name for field in fields(Evidence)]),
    digest=st.text(min_size=1, max_size=40)
    | st.text("0123456789abcdefABCDEF", min_size=31, max_size=33),
)
def test_what_is_no_digest_is_refused_by_its_field(field: str, digest: str) -> None:
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
def test_evidence_is_named_in_words(which: tuple[str, ...], words: str) -> None:
    assert in_words(which) == words
