from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.ports.clock import Clock
from application.ports.store.store import StoreUnavailable, Transaction
from domain.conflict import Conflict, ConflictState, Resolution, decision_on
from domain.enforcement import Mode, Switch
from domain.errors import NameInUse, ServerNameTaken, ServerNotFound
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
    same_claimant,
)
from domain.registration_rules import RegistrationRules
from domain.server import Server


@dataclass(frozen=True, slots=True)
class Claimed:
    """The server that a host gets, locked, and what there is to tell of how it got it."""

    server: Server
    events: Sequence[Event] = ()
    is_new: bool = False
    # Its last host was another machine.
    is_taken_over: bool = False
    # Nobody is replaced: who had it goes on, or it is the same process, which asks once more.
    keeps_epoch: bool = False


@dataclass(frozen=True)
class ClaimName:
    """Who gets the server of a name: decided by the evidence of who had it and of who claims it,
    by what an operator decided, and by the policy where neither settles it."""

    transaction: Transaction
    clock: Clock
    rules: RegistrationRules

    def __call__(self, name: str, environment: str, claimant: Identity) -> Claimed | NameInUse:
        # Looked at before anything is locked: one server behind another, and not by the order of
        # their ids, could meet a batch of heartbeats.
        decision = self._decision_on(name, claimant.evidence, None)
        renamed = decision and decision.resolution is Resolution.RENAME
        if decision and renamed and not self._already_owns(name, claimant.evidence):
            name = decision.new_name
        return self._claim(name, environment, claimant)

    def _claim(self, name: str, environment: str, claimant: Identity) -> Claimed | NameInUse:
        server = self.transaction.servers.find(name)
        switched_off = self.rules.enforcement.of(Switch.NAME_CONFLICT) is Mode.OFF
        if server is None:
            refused = None if switched_off else self._refused_before(name, claimant.evidence)
            return refused or self._first_of_name(name, environment, claimant)
        if switched_off:
            return Claimed(server)
        holder = self.transaction.identities.get(server.server_id)
        comparison = compare(holder.evidence, claimant.evidence)
        alive = server.presence.status is Status.ONLINE
        claim = classify_claim(
            holder.evidence, claimant.evidence, comparison, holder_is_alive=alive
        )
        if claim is Claim.BY_NAME:
            return Claimed(server)
        if claim is Claim.OWN:
            # Also of who is to lose it, until the other comes for it.
            # Of two registrations of one process the answer to the first may come last.
            same_process = comparison.match is Match.SAME_PROCESS
            events = self._of_replacement(server, comparison)
            return Claimed(server, events, keeps_epoch=same_process)
        decision = self._decision_on(name, claimant.evidence, server.server_id)
        if decision and decision.is_decided_against(claimant.evidence):
            # Whether the other is alive or not, and whatever the policy is now.
            self._touch(decision)
            claim = Claim.CONTEST
        match claim:
            case Claim.SUCCESSION:
                self._expire(self._own_conflicts(name, claimant.evidence))
                return self._take_over(server, comparison)
            case _:
                return self._contested(server, holder, claimant, comparison, decision)

    def _decision_on(self, name: str, evidence: Evidence, server_id: int | None) -> Conflict | None:
        """What an operator decided on this machine's claim to a name that has this server."""
        if not evidence:
            return None
        return decision_on(self.transaction.conflicts.of_name(name), evidence, server_id)

    def _already_owns(self, name: str, evidence: Evidence) -> bool:
        """Whether the server of this name is on this machine."""
        machines = {
            known.identity.machine for known in self.transaction.identities.of_machine(evidence)
        }
        return any(
            server.name == name
            for machine in machines
            for server in self.transaction.servers.of_machine(machine)
        )

    def _refused_before(self, name: str, evidence: Evidence) -> NameInUse | None:
        """Why this machine does not get a name that has no server: it was evicted, and who is to
        have the name has not come yet."""
        decision = self._decision_on(name, evidence, None)
        if not decision or not decision.is_decided_against(evidence):
            return None
        error = NameInUse(
            name,
            None,
            f"to which an operator gave it (conflict {decision.conflict_id}): set another"
            " SERVER_NAME or ENVIRONMENT on this host, or let an operator take that back with"
            f" `manmanv2 servers restore {decision.server_id}`",
        )
        if self.rules.enforcement.of(Switch.NAME_CONFLICT) is Mode.ENFORCE:
            return error
        self.transaction.dry_run_refusals.record(
            Switch.NAME_CONFLICT, 0, name, str(error), self.clock.now()
        )
        return None

    def _touch(self, decision: Conflict) -> None:
        """It is not to be forgotten while it is of use."""
        self.transaction.conflicts.save(replace(decision, last_claimed_at=self.clock.now()))

    def _own_conflicts(self, name: str, evidence: Evidence) -> Sequence[Conflict]:
        """Those in which this machine is the one that claims, newest first."""
        return [
            conflict
            for conflict in self.transaction.conflicts.of_name(name)
            if same_claimant(conflict.challenger.evidence, evidence)
        ]

    def _first_of_name(
        self, name: str, environment: str, claimant: Identity
    ) -> Claimed | NameInUse:
        old = self._last_on_this_machine(claimant.evidence)
        if old and old.ephemeral and old.environment in ("", environment):
            try:
                old = self.transaction.servers.get(old.server_id, lock=True)
            except ServerNotFound:
                # Deleted at this moment: the next try does without it.
                raise StoreUnavailable from None
            if old.presence.status is Status.OFFLINE and old.approval.admits:
                return self._rename_ephemeral(old, name)
            old = None
        server = self.transaction.servers.find_or_add(name)
        if server.presence.last_seen:
            # Another host was first at this moment.
            return self._claim(name, environment, claimant)
        if old is None:
            return Claimed(server, is_new=True)
        cause = (
            f"its machine was server {old.server_id} ({old.name}) too, which is offline: if the"
            f" host was renamed, say `manmanv2 servers merge {old.server_id} {server.server_id}`"
        )
        recognised = self._event(EventKind.RECOGNISED, server, cause)
        return Claimed(server, [recognised], is_new=True)

    def _last_on_this_machine(self, evidence: Evidence) -> Server | None:
        """Of those that are offline the one that was seen last."""
        known = self.transaction.identities.of_machine(evidence) if evidence else ()
        machines = {one.identity.machine for one in known}
        offline = [
            (server.presence.last_seen, server)
            for machine in machines
            for server in self.transaction.servers.of_machine(machine)
            if server.presence.last_seen
            and server.presence.status is Status.OFFLINE
            and server.approval.admits
        ]
        return max(offline, key=lambda one: one[0])[1] if offline else None

    def _rename_ephemeral(self, server: Server, name: str) -> Claimed:
        renamed = replace(server, name=name)
        try:
            self.transaction.servers.save(renamed)
        except ServerNameTaken:
            # Another host has just made a server of this name: the next try finds it.
            raise StoreUnavailable from None
        cause = f"its machine registered again under the name {name}; it was {server.name}"
        return Claimed(renamed, [self._event(EventKind.READOPTED, server, cause)])

    def _of_replacement(self, server: Server, comparison: Comparison) -> Sequence[Event]:
        if comparison.match is Match.SAME_PROCESS or server.presence.status is Status.OFFLINE:
            return ()
        if "boot_id" in comparison.differing:
            # Its machine was started again: who had it ended with the kernel.
            return ()
        cause = "another host manager on its machine registered under its name"
        return [self._event(EventKind.REPLACED, server, cause, comparison)]

    def _take_over(self, server: Server, comparison: Comparison) -> Claimed:
        if comparison.match is Match.OTHER_MACHINE:
            cause = (
                "another machine registered under its name while it was offline:"
                f" its {kinds_in_words(comparison.differing)} {_is_or_are(comparison.differing)}"
                " not the same"
            )
        elif "hardware_id" in comparison.agreeing:
            cause = (
                "its machine was installed anew, or another one of the same board registered:"
                f" its {kinds_in_words(comparison.differing)} {_is_or_are(comparison.differing)}"
                " not the same"
            )
        else:
            # Most likely a restart, where the board cannot be read.
            return Claimed(server)
        taken_over = self._event(EventKind.TAKEN_OVER, server, cause, comparison)
        return Claimed(server, [taken_over], is_taken_over=True)

    def _contested(
        self,
        server: Server,
        holder: Identity,
        claimant: Identity,
        comparison: Comparison,
        decision: Conflict | None,
    ) -> Claimed | NameInUse:
        lost = decision and decision.is_decided_against(claimant.evidence)
        if decision and decision.resolution is Resolution.ADOPT and not lost:
            cause = (
                f"an operator gave it to another machine (conflict {decision.conflict_id}), which"
                " claimed its name"
            )
            taken_over = self._event(EventKind.TAKEN_OVER, server, cause, comparison)
            return Claimed(server, [taken_over], is_taken_over=True)
        if self.rules.name_policy is NamePolicy.TAKEOVER and not lost:
            cause = "another machine claimed its name, and NAME_CONFLICT_POLICY is takeover"
            taken_over = self._event(EventKind.TAKEN_OVER, server, cause, comparison)
            return Claimed(server, [taken_over], is_taken_over=True)
        if self.rules.name_policy is NamePolicy.ALLOW and not lost:
            return Claimed(server, keeps_epoch=True)
        now = self.clock.now()
        given_away = ""
        if decision and lost:
            given_away = f", and to which an operator gave it (conflict {decision.conflict_id})"
        why = _why_held(server, holder, comparison, now, given_away)
        error = NameInUse(server.name, server.server_id, why)
        if self.rules.enforcement.of(Switch.NAME_CONFLICT) is Mode.WARN:
            self.transaction.dry_run_refusals.record(
                Switch.NAME_CONFLICT, server.server_id, server.name, str(error), now
            )
            return Claimed(server, keeps_epoch=True)
        self._note_conflict(server, holder, claimant, comparison)
        return error

    def _note_conflict(
        self,
        server: Server,
        holder: Identity,
        claimant: Identity,
        comparison: Comparison,
    ) -> None:
        conflicts = self._own_conflicts(server.name, claimant.evidence)
        now = self.clock.now()
        is_sure = comparison.match is Match.OTHER_MACHINE
        before = next((one for one in conflicts if one.is_unresolved), None)
        conflict = before or self.transaction.conflicts.add(
            Conflict(
                conflict_id=0,
                server_id=server.server_id,
                name=server.name,
                state=ConflictState.SUSPECTED,
                holder=holder,
                holder_last_seen=server.presence.last_seen,
                challenger=claimant,
                opened_at=now,
                last_claimed_at=now,
                claims=0,
            )
        )
        last_seen = server.presence.last_seen
        # A holder that was started again would not have been heard since.
        is_sure = is_sure or (last_seen is not None and last_seen > conflict.opened_at)
        self.transaction.conflicts.save(
            replace(
                conflict,
                state=ConflictState.OPEN if is_sure else conflict.state,
                server_id=server.server_id,
                holder=holder,
                holder_last_seen=last_seen,
                challenger=claimant,
                last_claimed_at=now,
                claims=conflict.claims + 1,
            )
        )
        if is_sure and conflict.state is ConflictState.SUSPECTED:
            cause = (
                f"another machine{_from(claimant.address)} claims its name: see `manmanv2"
                f" conflicts show {conflict.conflict_id}`"
            )
            self.transaction.outbox.add(
                [self._event(EventKind.CONTESTED, server, cause, comparison)]
            )

    def _expire(self, conflicts: Sequence[Conflict]) -> None:
        for conflict in conflicts:
            if conflict.is_unresolved:
                self.transaction.conflicts.save(replace(conflict, state=ConflictState.LAPSED))

    def _event(
        self, kind: EventKind, server: Server, cause: str, comparison: Comparison | None = None
    ) -> Event:
        agreeing = comparison.agreeing if comparison else ()
        differing = comparison.differing if comparison else ()
        return Event(kind, server.server_id, self.clock.now(), cause, agreeing, differing)


def _why_held(
    server: Server, holder: Identity, comparison: Comparison, now: datetime, given_away: str
) -> str:
    """The rest of a sentence: by whom, what differs, and the cure."""
    seen = ""
    if server.presence.last_seen:
        seconds = max(0, int((now - server.presence.last_seen).total_seconds()))
        seen = f", heard {seconds} s ago"
    differs = kinds_in_words(comparison.differing) or "evidence"
    clone = ""
    if "machine_id" in comparison.agreeing:
        clone = " (the machine-id is the same: a clone? give it one of its own)"
    return (
        f"another machine{_from(holder.address)}{seen}, whose {differs}"
        f" {_is_or_are(comparison.differing)} not this one's{clone}{given_away}: set another"
        " SERVER_NAME or ENVIRONMENT on this host, or let an operator settle it with"
        " `manmanv2 conflicts`"
    )


def _from(address: str) -> str:
    return f" at {address}" if address else ""


def _is_or_are(kinds: Sequence[str]) -> str:
    return "are" if len(kinds) > 1 else "is"
