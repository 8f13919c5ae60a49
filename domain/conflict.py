"""Two machines that claim one name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.machine_evidence import Comparison, Evidence, Identity, same_claimant


class ConflictState(StrEnum):
    # A restart of the holder looks the same, until the holder is heard again.
    SUSPECTED = "suspected"
    OPEN = "open"
    RESOLVED = "resolved"
    # Nobody claims the name any more, or its holder is gone.
    LAPSED = "lapsed"


class Resolution(StrEnum):
    # The challenger gets the server, with all that hangs on it.
    ADOPT = "adopt"
    # The challenger joins as a server of its own, under another name.
    RENAME = "rename"
    # The holder's server is deleted, and the challenger joins with nothing of it.
    EVICT = "evict"


@dataclass(frozen=True, slots=True)
class Conflict:
    """`holder` and `challenger` are as they were at the last claim."""

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
        """Whether it was decided in favour of this machine, which claimed the name."""
        return self.resolution is not None and same_claimant(self.challenger.evidence, evidence)

    def is_decided_against(self, evidence: Evidence) -> bool:
        """Whether it was decided that this machine, which had the name, has it no more."""
        return (
            self.resolution in (Resolution.ADOPT, Resolution.EVICT)
            and not self.is_decided_for(evidence)
            and same_claimant(self.holder.evidence, evidence)
        )

    def still_applies(self, server_id: int | None) -> bool:
        """Whether the decision still counts, now that the name has this server, or none.

        Who adopts gets the record: without it there is nothing to adopt. Who restores the
        record of one that was evicted has decided otherwise.
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
    """Of all claims to a name, the last that was decided for or against this machine, if that
    still counts; `server_id` is of the server that the name has."""
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
    """A sentence on how two machines may have come to one name, for who has to decide."""
    disk = {"machine_id", "engine_id"}
    same_disk = bool(disk.intersection(comparison.agreeing))
    other_disk = bool(disk.intersection(comparison.differing))
    if "boot_id" in comparison.agreeing:
        return "The kernel is the same: a virtual machine was most likely copied while it ran."
    if same_disk and "hardware_id" in comparison.differing:
        return "The disk is the same and the board is not: a disk was most likely copied."
    if same_disk:
        return (
            "The disk is the same and the board is not known: a copied disk, or a machine that"
            " was started again."
        )
    if "hardware_id" in comparison.agreeing:
        return (
            "The board is the same and the disk is not: one machine that was installed anew, or"
            " two boards with one hardware id."
        )
    if other_disk or "hardware_id" in comparison.differing:
        return "Nothing is the same: two machines that were given one name."
    return "Too little is known of them to tell how they came to one name."
