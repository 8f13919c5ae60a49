from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.machine_evidence import Evidence


@dataclass(frozen=True, slots=True)
class Ban:
    """`server_id` is the server over which the machine was banned; it may be gone."""

    server_id: int
    name: str
    evidence: Evidence
    reason: str
    at: datetime


class Bans(Protocol):
    """Machines that are refused under any name."""

    def add(self, ban: Ban) -> None:
        """In place of an earlier one over the same server."""
        ...

    def resembling(self, evidence: Evidence) -> Sequence[Ban]:
        """Those that have any identifier of the machine in common, oldest first."""
        ...

    def remove(self, server_id: int) -> bool:
        """Whether there was one over this server."""
        ...
