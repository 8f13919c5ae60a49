"""Which host gets the server of a name that it claims: decided by the evidence of both machines,
by what an operator decided, and by the policy where neither settles it.

Nothing is written here: application/registration/claim_name.py carries the decision out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.conflict import Conflict, Resolution
from domain.enforcement import Mode, Switch
from domain.errors import NameInUse
from domain.events import Event, EventKind
from domain.liveness import Status
from domain.machine_evidence import (
    Claim,
    Comparison,
    Evidence,
    Identity,
    Match,
    NamePolicy,
    classify_claim,
    compare,
    kinds_in_words,
)
from domain.registration_rules import RegistrationRules
from domain.server import Server


@dataclass(frozen=True, slots=True)
class NameClaim:
    """A host registers under the name of a server. `holder` is the machine that the server is on
    now; `comparison` compares it with the claimant."""

    server: Server
    holder: Identity
    claimant: Identity
    comparison: Comparison
    now: datetime

    @classmethod
    def to(cls, server: Server, holder: Identity, claimant: Identity, now: datetime) -> "NameClaim":
        comparison = compare(holder.evidence, claimant.evidence)
        return cls(server, holder, claimant, comparison, now)

    @property
    def kind(self) -> Claim:
        return classify_claim(
            self.holder.evidence,
            self.claimant.evidence,
            self.comparison,
            holder_is_alive=self.server.presence.status is Status.ONLINE,
        )

    @property
    def may_be_of_another_machine(self) -> bool:
        """Whether the claimant may be another machine, so that an operator's decision counts."""
        return self.kind in (Claim.SUCCESSION, Claim.CONTEST)

    @property
    def is_of_another_machine(self) -> bool:
        """Whether it certainly is: it cannot be the holder after a restart or a reinstallation."""
        return self.comparison.match is Match.OTHER_MACHINE

    def event(self, kind: EventKind, cause: str) -> Event:
        agreeing, differing = self.comparison.agreeing, self.comparison.differing
        return Event(kind, self.server.server_id, self.now, cause, agreeing, differing)


@dataclass(frozen=True, slots=True)
class Award:
    """The claimant gets the server. `event` is the event to publish, if any."""

    event: Event | None = None
    # The server's last host was on another machine.
    is_taken_over: bool = False
    # No process is replaced: the holder continues, or the same process registers again.
    keeps_epoch: bool = False
    # The claimant's conflicts about this name are over.
    ends_conflicts: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Another machine keeps the name. A switch that only warns lets the claimant in regardless."""

    error: NameInUse
    is_enforced: bool
    # The operator's decision by which the claimant lost the name.
    lost_by: Conflict | None = None


def decide_claim(
    claim: NameClaim, decision: Conflict | None, rules: RegistrationRules
) -> Award | Refusal:
    """`decision` is the operator's last one on this machine and name, if it still applies."""
    kind = claim.kind
    if kind is Claim.BY_NAME:
        return Award()
    if kind is Claim.OWN:
        # Also for a machine that is to lose the server, until the other one claims it. The
        # answers to two registrations of one process may arrive in either order.
        same_process = claim.comparison.match is Match.SAME_PROCESS
        return Award(_replacement(claim), keeps_epoch=same_process)
    if decision and decision.is_decided_against(claim.claimant.evidence):
        # Whether the holder is alive or not, and whatever the policy is now.
        return _refusal(claim, rules, lost_by=decision)
    if kind is Claim.SUCCESSION:
        return _succession(claim)
    if decision and decision.resolution is Resolution.ADOPT:
        cause = (
            f"an operator gave it to another machine (conflict {decision.conflict_id}), which then"
            " claimed its name"
        )
        return _takeover(claim, cause)
    match rules.name_policy:
        case NamePolicy.TAKEOVER:
            cause = "another machine claimed its name and NAME_CONFLICT_POLICY is takeover"
            return _takeover(claim, cause)
        case NamePolicy.ALLOW:
            return Award(keeps_epoch=True)
        case NamePolicy.REJECT:
            return _refusal(claim, rules)


def refuse_unused_name(
    name: str, evidence: Evidence, decision: Conflict | None, rules: RegistrationRules
) -> Refusal | None:
    """Refuse a name without a server to a machine that was evicted from it, until the machine to
    which an operator gave the name has registered."""
    if not decision or not decision.is_decided_against(evidence):
        return None
    why = (
        f"to which an operator gave it (conflict {decision.conflict_id}): set another SERVER_NAME"
        " or ENVIRONMENT on this host, or ask an operator to undo that with"
        f" `manmanv2 servers restore {decision.server_id}`"
    )
    return Refusal(NameInUse(name, None, why), _is_enforced(rules), lost_by=decision)


def _is_enforced(rules: RegistrationRules) -> bool:
    return rules.enforcement.of(Switch.NAME_CONFLICT) is Mode.ENFORCE


def _replacement(claim: NameClaim) -> Event | None:
    same_process = claim.comparison.match is Match.SAME_PROCESS
    if same_process or claim.server.presence.status is Status.OFFLINE:
        return None
    if "boot_id" in claim.comparison.differing:
        # The machine was restarted, which ended the process that had the server.
        return None
    cause = "another host manager on its machine registered under its name"
    return claim.event(EventKind.REPLACED, cause)


def _succession(claim: NameClaim) -> Award:
    differing = claim.comparison.differing
    if claim.is_of_another_machine:
        cause = (
            "another machine registered under its name while it was offline; its"
            f" {_kinds_that_differ(differing)}"
        )
    elif "hardware_id" in claim.comparison.agreeing:
        cause = (
            "its machine was reinstalled, or a machine with the same hardware id registered; its"
            f" {_kinds_that_differ(differing)}"
        )
    else:
        # Most likely a restart of a machine whose hardware id cannot be read.
        return Award(ends_conflicts=True)
    event = claim.event(EventKind.TAKEN_OVER, cause)
    return Award(event, is_taken_over=True, ends_conflicts=True)


def _takeover(claim: NameClaim, cause: str) -> Award:
    return Award(claim.event(EventKind.TAKEN_OVER, cause), is_taken_over=True)


def _refusal(
    claim: NameClaim, rules: RegistrationRules, lost_by: Conflict | None = None
) -> Refusal:
    server = claim.server
    error = NameInUse(server.name, server.server_id, _why_held(claim, lost_by))
    return Refusal(error, _is_enforced(rules), lost_by)


def _why_held(claim: NameClaim, lost_by: Conflict | None) -> str:
    """Completes a sentence: by which machine, what differs, and what to do."""
    address = f" at {claim.holder.address}" if claim.holder.address else ""
    last_seen = claim.server.presence.last_seen
    heard = ""
    if last_seen:
        heard = f", heard {max(0, int((claim.now - last_seen).total_seconds()))} s ago"
    clone = ""
    if "machine_id" in claim.comparison.agreeing:
        clone = " (the machine-id is the same; a cloned machine needs a machine-id of its own)"
    given = ""
    if lost_by:
        given = f", and to which an operator gave it (conflict {lost_by.conflict_id})"
    return (
        f"another machine{address}{heard}, whose"
        f" {_kinds_that_differ(claim.comparison.differing)} from this host's{clone}{given}: set"
        " another SERVER_NAME or ENVIRONMENT on this host, or ask an operator to resolve the"
        " conflict with `manmanv2 conflicts`"
    )


def _kinds_that_differ(kinds: Sequence[str]) -> str:
    """For example "machine-id and boot id differ"."""
    verb = "differ" if len(kinds) > 1 else "differs"
    return f"{kinds_in_words(tuple(kinds)) or 'evidence'} {verb}"
