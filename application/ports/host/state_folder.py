from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from domain.machine_evidence import Evidence
from domain.naming import ChosenName, SavedName


class StateFolderTaken(Exception):
    """Another host manager works with the folder. The message is one sentence with the cure."""


class QuarantineReason(StrEnum):
    """Why a state is set aside: the end of the name that it gets."""

    DAMAGED = "damaged"
    OF_ANOTHER_MACHINE = "of-another-machine"
    OF_A_LATER_VERSION = "of-a-later-version"


@dataclass(frozen=True, slots=True)
class SavedState:
    """Who a host is, as it was told at its last registration.

    `evidence` is that of the machine, with the instance of the process that registered.
    """

    server_id: int
    name: str
    environment: str
    # Whether the name was made up; not whether the host asks to be ephemeral.
    ephemeral: bool
    epoch: int
    evidence: Evidence
    # Of the server; empty where the control plane issued none.
    credential: str = field(default="", repr=False)

    @property
    def saved_name(self) -> SavedName:
        return SavedName(ChosenName(self.name, self.ephemeral), self.environment)


class StateFolder(Protocol):
    """Where a host keeps who it is. Every call raises OSError."""

    def lock(self) -> None:
        """Make the folder, and have it alone for as long as this process lives.

        Raises StateFolderTaken.
        """
        ...

    def read(self) -> SavedState | None:
        """None when nothing is kept. What cannot be used is set aside with a warning."""
        ...

    def write(self, state: SavedState) -> None:
        """Wholly or not at all. What a later version added to the kept state stays."""
        ...

    def quarantine(self, why: QuarantineReason) -> str:
        """Keep what is there under another name, in place of an older one; the path."""
        ...

    def forget(self) -> None:
        """Delete the state, if there is one."""
        ...
