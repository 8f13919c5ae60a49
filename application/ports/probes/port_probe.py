from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Protocol


class PortState(StrEnum):
    FREE = auto()
    TAKEN = auto()
    # The address does not belong to this machine.
    ELSEWHERE = auto()
    # This user may not listen there.
    FORBIDDEN = auto()


@dataclass(frozen=True, slots=True)
class PortStatus:
    """`owner` is the process that has the port, as far as this user may see it."""

    state: PortState
    owner: str = ""


class PortProbe(Protocol):
    def check(self, address: str) -> PortStatus:
        """Whether a process of this user can listen on HOST:PORT. Uses the port only briefly."""
        ...
