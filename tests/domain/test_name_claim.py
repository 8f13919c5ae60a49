"""Which host gets the server of a name, as a table of behaviour and as properties of all claims."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.conflict import Conflict, ConflictState, Resolution
from domain.enforcement import Enforcement, Mode, Switch
from domain.events import Event, EventKind
from domain.liveness import Presence, Status
from domain.machine_evidence import Evidence, Identity, NamePolicy
from domain.name_claim import Award, NameClaim, Refusal, decide_claim, refuse_unused_name
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.server import Server
from tests.support.builders import NOW, SECOND, evidence

HERE = evidence("disk", "board", "boot 1", "process 1")
RESTARTED = evidence("disk", "board", "boot 1", "process 2")
REBOOTED = evidence("disk", "board", "boot 2", "process 3")
REINSTALLED = evidence("new disk", "board", "boot 3", "process 4")
ELSEWHERE = evidence("other disk", "other board", "other boot", "process 5")
CLONE = evidence("disk", "other board", "other boot", "process 6")
# The evidence of a host manager that cannot read the hardware id.
BLIND = evidence("disk", "", "boot 1", "process 1")
BLIND_REBOOTED = evidence("disk", "", "boot 2", "process 2")
NONE = Evidence()

TAKEOVER = RegistrationRules(NamePolicy.TAKEOVER)
ALLOW = RegistrationRules(NamePolicy.ALLOW)
WARN = RegistrationRules(enforcement=Enforcement({Switch.NAME_CONFLICT: Mode.WARN}))

ONLINE, OFFLINE = Status.ONLINE, Status.OFFLINE


def claim_to(
    holder: Evidence,
    claimant: Evidence,
    status: Status = ONLINE,
    address: str = "10.0.0.7",
    seconds_since_heartbeat: float | None = 4,
) -> NameClaim:
    last_seen = None
    if seconds_since_heartbeat is not None:
        last_seen = NOW - seconds_since_heartbeat * SECOND
    server = Server(12, "web", presence=Presence(status, last_seen, None))
    return NameClaim.to(server, Identity(holder, 1, address), Identity(claimant, 0, ""), NOW)


def decided(
    resolution: Resolution, holder: Evidence = HERE, challenger: Evidence = ELSEWHERE
) -> Conflict:
    return Conflict(
        conflict_id=3,
        server_id=12,
        name="web",
        state=ConflictState.RESOLVED,
        holder=Identity(holder),
        holder_last_seen=NOW,
        challenger=Identity(challenger),
        opened_at=NOW,
        last_claimed_at=NOW,
        resolution=resolution,
        resolved_at=NOW,
    )


def event(kind: EventKind, cause: str, agreeing: str = "", differing: str = "") -> Event:
    return Event(kind, 12, NOW, cause, tuple(agreeing.split()), tuple(differing.split()))


ALL = "machine_id hardware_id engine_id boot_id"
REPLACED = event(
    EventKind.REPLACED, "another host manager on its machine registered under its name", ALL
)
SUCCEEDED = event(
    EventKind.TAKEN_OVER,
    "another machine registered under its name while it was offline; its machine-id, hardware id,"
    " Docker engine ID and boot id differ",
    differing=ALL,
)
REINSTALLED_EVENT = event(
    EventKind.TAKEN_OVER,
    "its machine was reinstalled, or a machine with the same hardware id registered; its"
    " machine-id, Docker engine ID and boot id differ",
    "hardware_id",
    "machine_id engine_id boot_id",
)
TAKEN_BY_POLICY = event(
    EventKind.TAKEN_OVER,
    "another machine claimed its name and NAME_CONFLICT_POLICY is takeover",
    differing=ALL,
)
GIVEN_BY_OPERATOR = event(
    EventKind.TAKEN_OVER,
    "an operator gave it to another machine (conflict 3), which then claimed its name",
    differing=ALL,
)
OWN = Award(keeps_epoch=True)


@pytest.mark.parametrize(
    ("claim", "rules", "decision", "award"),
    [
        pytest.param(claim_to(NONE, ELSEWHERE), DEFAULT_RULES, None, Award(), id="holds without"),
        pytest.param(claim_to(HERE, NONE), DEFAULT_RULES, None, Award(), id="claims without"),
        pytest.param(claim_to(HERE, HERE), DEFAULT_RULES, None, OWN, id="the same process"),
        pytest.param(
            claim_to(HERE, RESTARTED), DEFAULT_RULES, None, Award(REPLACED), id="another process"
        ),
        pytest.param(
            claim_to(HERE, RESTARTED, OFFLINE), DEFAULT_RULES, None, Award(), id="after it stopped"
        ),
        pytest.param(
            claim_to(HERE, REBOOTED), DEFAULT_RULES, None, Award(), id="a rebooted machine"
        ),
        pytest.param(
            claim_to(HERE, HERE),
            DEFAULT_RULES,
            decided(Resolution.ADOPT),
            OWN,
            id="the machine that is to lose it, before the other one claims it",
        ),
        pytest.param(
            claim_to(HERE, ELSEWHERE, OFFLINE),
            DEFAULT_RULES,
            None,
            Award(SUCCEEDED, is_taken_over=True, ends_conflicts=True),
            id="a successor of a silent machine",
        ),
        pytest.param(
            claim_to(HERE, REINSTALLED, OFFLINE),
            DEFAULT_RULES,
            None,
            Award(REINSTALLED_EVENT, is_taken_over=True, ends_conflicts=True),
            id="a reinstalled machine",
        ),
        pytest.param(
            claim_to(BLIND, BLIND_REBOOTED, OFFLINE),
            DEFAULT_RULES,
            None,
            Award(ends_conflicts=True),
            id="most likely a reboot",
        ),
        pytest.param(
            claim_to(HERE, ELSEWHERE),
            TAKEOVER,
            None,
            Award(TAKEN_BY_POLICY, is_taken_over=True),
            id="takeover",
        ),
        pytest.param(claim_to(HERE, ELSEWHERE), ALLOW, None, Award(keeps_epoch=True), id="allow"),
        pytest.param(
            claim_to(HERE, ELSEWHERE),
            DEFAULT_RULES,
            decided(Resolution.ADOPT),
            Award(GIVEN_BY_OPERATOR, is_taken_over=True),
            id="adopted by an operator",
        ),
        pytest.param(
            claim_to(HERE, ELSEWHERE, OFFLINE),
            DEFAULT_RULES,
            decided(Resolution.ADOPT),
            Award(SUCCEEDED, is_taken_over=True, ends_conflicts=True),
            id="adopted, and the holder is silent",
        ),
    ],
)
def test_the_claimant_gets_the_server(
    claim: NameClaim, rules: RegistrationRules, decision: Conflict | None, award: Award
) -> None:
    assert decide_claim(claim, decision, rules) == award


ADVICE = (
    ": set another SERVER_NAME or ENVIRONMENT on this host, or ask an operator to resolve the"
    " conflict with `manmanv2 conflicts`"
)
HELD = "the name 'web' is held by server 12, another machine"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            claim_to(HERE, ELSEWHERE),
            (
                " at 10.0.0.7, heard 4 s ago, whose machine-id, hardware id, Docker engine ID and"
                " boot id differ from this host's"
            ),
        ),
        (
            claim_to(HERE, CLONE, address="", seconds_since_heartbeat=None),
            (
                ", whose hardware id and boot id differ from this host's (the machine-id is the"
                " same; a cloned machine needs a machine-id of its own)"
            ),
        ),
        (
            claim_to(BLIND, BLIND_REBOOTED, seconds_since_heartbeat=0.9),
            (
                " at 10.0.0.7, heard 0 s ago, whose boot id differs from this host's (the"
                " machine-id is the same; a cloned machine needs a machine-id of its own)"
            ),
        ),
        # The clock of another API may be ahead.
        (
            claim_to(HERE, evidence("", "other board"), seconds_since_heartbeat=-5),
            " at 10.0.0.7, heard 0 s ago, whose hardware id differs from this host's",
        ),
        (
            claim_to(evidence("disk"), evidence("", "board"), address=""),
            ", heard 4 s ago, whose evidence differs from this host's",
        ),
    ],
)
def test_a_refusal_names_the_holder_what_differs_and_what_to_do(
    claim: NameClaim, message: str
) -> None:
    outcome = decide_claim(claim, None, DEFAULT_RULES)

    assert isinstance(outcome, Refusal)
    assert str(outcome.error) == f"{HELD}{message}{ADVICE}"
    assert (outcome.error.name, outcome.error.server_id) == ("web", 12)
    assert (outcome.is_enforced, outcome.lost_by) == (True, None)


@pytest.mark.parametrize("rules", [DEFAULT_RULES, TAKEOVER, ALLOW])
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("resolution", [Resolution.ADOPT, Resolution.EVICT])
def test_a_machine_that_lost_the_name_is_refused_whatever_the_policy_is(
    resolution: Resolution, status: Status, rules: RegistrationRules
) -> None:
    decision = decided(resolution, holder=ELSEWHERE, challenger=HERE)
    outcome = decide_claim(claim_to(HERE, ELSEWHERE, status), decision, rules)

    assert isinstance(outcome, Refusal)
    assert outcome.lost_by == decision
    assert " from this host's, and to which an operator gave it (conflict 3): set another" in str(
        outcome.error
    )


@pytest.mark.parametrize(
    "resolution", [Resolution.RENAME, Resolution.EVICT], ids=["renamed", "evicted"]
)
def test_another_decision_for_the_claimant_gives_it_no_server_that_is_in_use(
    resolution: Resolution,
) -> None:
    outcome = decide_claim(claim_to(HERE, ELSEWHERE), decided(resolution), DEFAULT_RULES)

    assert isinstance(outcome, Refusal)
    assert outcome.lost_by is None


def test_an_evicted_machine_does_not_get_its_unused_name_back() -> None:
    decision = decided(Resolution.EVICT)
    refusal = refuse_unused_name("web", HERE, decision, DEFAULT_RULES)

    assert refusal
    assert refusal.is_enforced
    assert refusal.error.server_id is None
    assert str(refusal.error) == (
        "the name 'web' is reserved for another machine, to which an operator gave it (conflict 3):"
        " set another SERVER_NAME or ENVIRONMENT on this host, or ask an operator to undo that with"
        " `manmanv2 servers restore 12`"
    )
    warning = refuse_unused_name("web", HERE, decision, WARN)
    assert warning
    assert not warning.is_enforced
    for claimant in (ELSEWHERE, evidence("third", "third", "third")):
        assert refuse_unused_name("web", claimant, decision, DEFAULT_RULES) is None
    assert refuse_unused_name("web", HERE, None, DEFAULT_RULES) is None


PART = st.sampled_from(["", "a", "b"])
EVIDENCE = st.builds(evidence, PART, PART, PART, PART, PART)
POLICY = st.sampled_from(NamePolicy)
MODE = st.sampled_from(Mode)


@given(EVIDENCE, EVIDENCE, st.sampled_from(Status), POLICY, MODE)
def test_only_a_policy_or_silence_gives_a_server_to_another_machine(
    holder: Evidence, claimant: Evidence, status: Status, policy: NamePolicy, mode: Mode
) -> None:
    rules = RegistrationRules(policy, enforcement=Enforcement({Switch.NAME_CONFLICT: mode}))
    claim = claim_to(holder, claimant, status)
    outcome = decide_claim(claim, None, rules)

    is_contested = claim.may_be_of_another_machine and status is ONLINE
    assert isinstance(outcome, Refusal) == (is_contested and policy is NamePolicy.REJECT)
    if isinstance(outcome, Refusal):
        assert outcome.is_enforced == (mode is Mode.ENFORCE)
    else:
        assert not (outcome.keeps_epoch and outcome.is_taken_over)
        assert outcome.is_taken_over == (
            outcome.event is not None and outcome.event.kind is EventKind.TAKEN_OVER
        )
        assert outcome.is_taken_over <= claim.may_be_of_another_machine
        assert outcome.ends_conflicts == (claim.may_be_of_another_machine and status is OFFLINE)


@given(EVIDENCE, EVIDENCE, st.sampled_from(Status))
def test_only_machines_with_evidence_can_be_distinguished(
    holder: Evidence, claimant: Evidence, status: Status
) -> None:
    claim = claim_to(holder, claimant, status)

    assert claim.may_be_of_another_machine == (
        bool(holder) and bool(claimant) and not claim.comparison.same_machine
    )
    assert claim.is_of_another_machine <= claim.may_be_of_another_machine
