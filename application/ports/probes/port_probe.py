from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Protocol


class PortState(StrEnum):
    FREE = auto()
    TAKEN = auto()
    # The address is none of this machine.
    ELSEWHERE = auto()
    # This user may not listen there.
    FORBIDDEN = auto()


@dataclass(frozen=True, slots=True)
class PortStatus:
    """`owner` is who has a port that is taken, as far as this user may know."""

    state: PortState
    owner: str = ""


class PortProbe(Protocol):
    def check(self, address: str) -> PortStatus:
        """Whether a process of this user can listen on HOST:PORT; takes it for a moment only."""
        ...
