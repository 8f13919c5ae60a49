from collections.abc import Sequence
from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store.store import StoreUnavailable, Transaction
from application.registration.name_conflicts import NameConflicts
from domain.conflict import Resolution
from domain.enforcement import Mode, Switch
from domain.errors import NameInUse, ServerNameTaken, ServerNotFound
from domain.events import Event, EventKind
from domain.liveness import Status
from domain.machine_evidence import Evidence, Identity
from domain.name_claim import Award, NameClaim, Refusal, decide_claim, refuse_unused_name
from domain.registration_rules import RegistrationRules
from domain.server import Server


@dataclass(frozen=True, slots=True)
class Claimed:
    """The server that a host gets, locked, and the events of how it got it."""

    server: Server
    events: Sequence[Event] = ()
    is_new: bool = False
    # Its last host was on another machine.
    is_taken_over: bool = False
    # No process is replaced: the holder continues, or the same process registers again.
    keeps_epoch: bool = False


@dataclass(frozen=True)
class ClaimName:
    """Gives a host the server of the name that it claims, or refuses the name.

    `domain.name_claim` decides; this finds what the decision depends on, and carries it out. A
    refusal is returned and not raised, because what is recorded about it must be committed.
    """

    transaction: Transaction
    clock: Clock
    rules: RegistrationRules

    def __call__(self, name: str, environment: str, claimant: Identity) -> Claimed | NameInUse:
        # Read before any server is locked: locking a second server, not in the order of their ids,
        # could deadlock with a batch of heartbeats.
        decision = self._conflicts.decision_on(name, claimant.evidence, None)
        renamed = decision and decision.resolution is Resolution.RENAME
        if decision and renamed and not self._already_owns(name, claimant.evidence):
            name = decision.new_name
        return self._claim(name, environment, claimant)

    @property
    def _conflicts(self) -> NameConflicts:
        return NameConflicts(self.transaction)

    @property
    def _ignores_conflicts(self) -> bool:
        return self.rules.enforcement.of(Switch.NAME_CONFLICT) is Mode.OFF

    def _claim(self, name: str, environment: str, claimant: Identity) -> Claimed | NameInUse:
        server = self.transaction.servers.find(name)
        if server is None:
            refused = self._refuse_unused(name, claimant.evidence)
            return refused or self._first_of_name(name, environment, claimant)
        if self._ignores_conflicts:
            return Claimed(server)
        holder = self.transaction.identities.get(server.server_id)
        claim = NameClaim.to(server, holder, claimant, self.clock.now())
        decision = None
        if claim.may_be_of_another_machine:
            decision = self._conflicts.decision_on(name, claimant.evidence, server.server_id)
        outcome = decide_claim(claim, decision, self.rules)
        if isinstance(outcome, Award):
            return self._award(claim, outcome)
        return self._refuse(claim, outcome)

    def _award(self, claim: NameClaim, award: Award) -> Claimed:
        if award.ends_conflicts:
            self._conflicts.expire(claim.server.name, claim.claimant.evidence)
        return Claimed(
            claim.server,
            [award.event] if award.event else (),
            is_taken_over=award.is_taken_over,
            keeps_epoch=award.keeps_epoch,
        )

    def _refuse(self, claim: NameClaim, refusal: Refusal) -> Claimed | NameInUse:
        if refusal.lost_by:
            self._conflicts.touch(refusal.lost_by, claim.now)
        server = claim.server
        if not refusal.is_enforced:
            self._record_dry_run(refusal, server.server_id)
            return Claimed(server, keeps_epoch=True)
        self._conflicts.record(claim)
        return refusal.error

    def _refuse_unused(self, name: str, evidence: Evidence) -> NameInUse | None:
        if self._ignores_conflicts:
            return None
        decision = self._conflicts.decision_on(name, evidence, None)
        refusal = refuse_unused_name(name, evidence, decision, self.rules)
        if not refusal or refusal.is_enforced:
            return refusal.error if refusal else None
        self._record_dry_run(refusal, 0)
        return None

    def _record_dry_run(self, refusal: Refusal, server_id: int) -> None:
        self.transaction.dry_run_refusals.record(
            Switch.NAME_CONFLICT,
            server_id,
            refusal.error.name,
            str(refusal.error),
            self.clock.now(),
        )

    def _already_owns(self, name: str, evidence: Evidence) -> bool:
        """Whether the server of this name is on this machine."""
        return any(server.name == name for server in self._on_machine(evidence))

    def _on_machine(self, evidence: Evidence) -> Sequence[Server]:
        """The servers of the machine with this evidence."""
        known = self.transaction.identities.of_machine(evidence) if evidence else ()
        return [
            server
            for machine in {one.identity.machine for one in known}
            for server in self.transaction.servers.of_machine(machine)
        ]

    def _first_of_name(
        self, name: str, environment: str, claimant: Identity
    ) -> Claimed | NameInUse:
        old = self._last_offline_on_machine(claimant.evidence)
        if old and old.ephemeral and old.environment in ("", environment):
            try:
                old = self.transaction.servers.get(old.server_id, lock=True)
            except ServerNotFound:
                # Deleted a moment ago: the next attempt succeeds without it.
                raise StoreUnavailable from None
            if old.presence.status is Status.OFFLINE and old.approval.admits:
                return self._rename_ephemeral(old, name)
            old = None
        server = self.transaction.servers.find_or_add(name)
        if server.presence.last_seen:
            # Another host has just registered under this name.
            return self._claim(name, environment, claimant)
        if old is None:
            return Claimed(server, is_new=True)
        cause = (
            f"its machine was also server {old.server_id} ({old.name}), which is offline: if the"
            f" host was renamed, run `manmanv2 servers merge {old.server_id} {server.server_id}`"
        )
        recognised = Event(EventKind.RECOGNISED, server.server_id, self.clock.now(), cause)
        return Claimed(server, [recognised], is_new=True)

    def _last_offline_on_machine(self, evidence: Evidence) -> Server | None:
        """The offline server of this machine that was seen last."""
        offline = [
            (server.presence.last_seen, server)
            for server in self._on_machine(evidence)
            if server.presence.last_seen
            and server.presence.status is Status.OFFLINE
            and server.approval.admits
        ]
        return max(offline, key=lambda seen: seen[0])[1] if offline else None

    def _rename_ephemeral(self, server: Server, name: str) -> Claimed:
        renamed = replace(server, name=name)
        try:
            self.transaction.servers.save(renamed)
        except ServerNameTaken:
            # Another host has just created a server of this name: the next attempt finds it.
            raise StoreUnavailable from None
        cause = f"its machine registered again under the name {name}; it was {server.name}"
        readopted = Event(EventKind.READOPTED, server.server_id, self.clock.now(), cause)
        return Claimed(renamed, [readopted])
