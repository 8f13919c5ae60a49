from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from application.ports.store.store import Transaction
from domain.conflict import Conflict, ConflictState, decision_on
from domain.events import EventKind
from domain.machine_evidence import Evidence, same_claimant
from domain.name_claim import NameClaim


@dataclass(frozen=True)
class NameConflicts:
    """Records refused claims to names as conflicts, and finds what operators decided on them."""

    transaction: Transaction

    def decision_on(self, name: str, evidence: Evidence, server_id: int | None) -> Conflict | None:
        """An operator's decision on this machine's claim to the name; `server_id` is the server
        that now has the name."""
        if not evidence:
            return None
        return decision_on(self.transaction.conflicts.of_name(name), evidence, server_id)

    def touch(self, decision: Conflict, now: datetime) -> None:
        """Keep a decision from being purged while a machine still claims the name."""
        self.transaction.conflicts.save(replace(decision, last_claimed_at=now))

    def expire(self, name: str, evidence: Evidence) -> None:
        """End the conflicts in which this machine claims the name."""
        for conflict in self._of_claimant(name, evidence):
            if conflict.is_unresolved:
                self.transaction.conflicts.save(replace(conflict, state=ConflictState.LAPSED))

    def record(self, claim: NameClaim) -> None:
        """Record a refused claim: one conflict for each claimant, which counts its claims.

        It is open, and reported, once the claimant is certainly another machine.
        """
        server, claimant, now = claim.server, claim.claimant, claim.now
        last_seen = server.presence.last_seen
        earlier = self._of_claimant(server.name, claimant.evidence)
        conflict = next((one for one in earlier if one.is_unresolved), None) or self._add(claim)
        # A holder that only restarted would not have sent a heartbeat since.
        is_certain = claim.is_of_another_machine or (
            last_seen is not None and last_seen > conflict.opened_at
        )
        self.transaction.conflicts.save(
            replace(
                conflict,
                state=ConflictState.OPEN if is_certain else conflict.state,
                server_id=server.server_id,
                holder=claim.holder,
                holder_last_seen=last_seen,
                challenger=claimant,
                last_claimed_at=now,
                claims=conflict.claims + 1,
            )
        )
        if is_certain and conflict.state is ConflictState.SUSPECTED:
            address = f" at {claimant.address}" if claimant.address else ""
            cause = (
                f"another machine{address} claims its name: see `manmanv2 conflicts show"
                f" {conflict.conflict_id}`"
            )
            self.transaction.outbox.add([claim.event(EventKind.CONTESTED, cause)])

    def _add(self, claim: NameClaim) -> Conflict:
        return self.transaction.conflicts.add(
            Conflict(
                conflict_id=0,
                server_id=claim.server.server_id,
                name=claim.server.name,
                state=ConflictState.SUSPECTED,
                holder=claim.holder,
                holder_last_seen=claim.server.presence.last_seen,
                challenger=claim.claimant,
                opened_at=claim.now,
                last_claimed_at=claim.now,
                claims=0,
            )
        )

    def _of_claimant(self, name: str, evidence: Evidence) -> Sequence[Conflict]:
        """Newest first."""
        return [
            conflict
            for conflict in self.transaction.conflicts.of_name(name)
            if same_claimant(conflict.challenger.evidence, evidence)
        ]
