from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.machine_evidence import Evidence


@dataclass(frozen=True, slots=True)
class Ban:
    """`server_id` is the server whose machine was banned. It may be deleted."""

    server_id: int
    name: str
    evidence: Evidence
    reason: str
    at: datetime


class Bans(Protocol):
    """Machines that are refused under any name."""

    def add(self, ban: Ban) -> None:
        """Add a ban. It replaces an earlier one on the same server."""
        ...

    def resembling(self, evidence: Evidence) -> Sequence[Ban]:
        """The bans that share any identifier with this evidence, oldest first."""
        ...

    def remove(self, server_id: int) -> bool:
        """Remove the ban on this server. Returns whether there was one."""
        ...
