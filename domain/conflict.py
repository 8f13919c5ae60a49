"""Two machines that claim one name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.machine_evidence import Comparison, Evidence, Identity, same_claimant


class ConflictState(StrEnum):
    # This may be only a restart of the holder; the next heartbeat of the holder rules that out.
    SUSPECTED = "suspected"
    OPEN = "open"
    RESOLVED = "resolved"
    # No machine claims the name any more, or the server of its holder is gone.
    LAPSED = "lapsed"


class Resolution(StrEnum):
    # The challenger gets the server with everything attached to it.
    ADOPT = "adopt"
    # The challenger joins as a new server under another name.
    RENAME = "rename"
    # The holder's server is deleted, and the challenger joins as a new server.
    EVICT = "evict"


@dataclass(frozen=True, slots=True)
class Conflict:
    """`holder` and `challenger` are the two machines as they were at the last claim."""

    conflict_id: int
    server_id: int
    name: str
    state: ConflictState
    holder: Identity
    holder_last_seen: datetime | None
    challenger: Identity
    opened_at: datetime
    last_claimed_at: datetime
    claims: int = 1
    resolution: Resolution | None = None
    new_name: str = ""
    resolved_at: datetime | None = None

    @property
    def is_unresolved(self) -> bool:
        return self.state in (ConflictState.SUSPECTED, ConflictState.OPEN)

    def is_decided_for(self, evidence: Evidence) -> bool:
        """Whether an operator decided for this machine, which claimed the name."""
        return self.resolution is not None and same_claimant(self.challenger.evidence, evidence)

    def is_decided_against(self, evidence: Evidence) -> bool:
        """Whether an operator decided against this machine, which had the name."""
        return (
            self.resolution in (Resolution.ADOPT, Resolution.EVICT)
            and not self.is_decided_for(evidence)
            and same_claimant(self.holder.evidence, evidence)
        )

    def still_applies(self, server_id: int | None) -> bool:
        """Whether the decision still applies while the name belongs to this server, or to none.

        ADOPT gives away the server, so it ends when the name has another server or none. EVICT
        deleted the server, so it ends when an operator restores that server.
        """
        match self.resolution:
            case Resolution.ADOPT:
                return server_id == self.server_id
            case Resolution.EVICT:
                return server_id != self.server_id
            case _:
                return self.resolution is not None


def decision_on(
    conflicts: Iterable[Conflict], evidence: Evidence, server_id: int | None
) -> Conflict | None:
    """The last of these claims to a name that was decided for or against this machine, if that
    decision still applies. `server_id` is the server that now has the name."""
    decided = [
        (conflict.resolved_at, conflict.conflict_id, conflict)
        for conflict in conflicts
        if conflict.resolved_at
        and (conflict.is_decided_for(evidence) or conflict.is_decided_against(evidence))
    ]
    if not decided:
        return None
    last = max(decided, key=lambda one: one[:2])[2]
    return last if last.still_applies(server_id) else None


def likely_cause(comparison: Comparison) -> str:
    """A sentence for the operator who decides: why two machines probably have the same name."""
    disk = {"machine_id", "engine_id"}
    same_disk = bool(disk.intersection(comparison.agreeing))
    other_disk = bool(disk.intersection(comparison.differing))
    if "boot_id" in comparison.agreeing:
        return "The kernel is the same: a virtual machine was most likely copied while it ran."
    if same_disk and "hardware_id" in comparison.differing:
        return "The disk is the same, but the board differs: the disk was most likely copied."
    if same_disk:
        return (
            "The disk is the same, but the board is unknown: either the disk was copied, or the"
            " machine was restarted."
        )
    if "hardware_id" in comparison.agreeing:
        return (
            "The board is the same, but the disk differs: either the machine was reinstalled, or"
            " two boards have the same hardware id."
        )
    if other_disk or "hardware_id" in comparison.differing:
        return "Nothing agrees: two machines were given the same name."
    return "Too little is known about the machines to tell why they have the same name."
