from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from application.ports.diagnosis import DiagnosedFailure
from domain.machine_evidence import Evidence
from domain.naming import ChosenName, SavedName


class StateFolderTaken(DiagnosedFailure):
    """Another host manager uses the folder. The message is one sentence with the fix."""


class QuarantineReason(StrEnum):
    """Why a state file is quarantined. The value becomes the end of its new file name."""

    DAMAGED = "damaged"
    OF_ANOTHER_MACHINE = "of-another-machine"
    OF_A_LATER_VERSION = "of-a-later-version"


@dataclass(frozen=True, slots=True)
class SavedState:
    """A host's identity, as of its last registration.

    `evidence` is that of the machine, with the instance id of the process that registered.
    """

    server_id: int
    name: str
    environment: str
    # Whether the name was generated; not whether the host asks for an ephemeral server.
    ephemeral: bool
    epoch: int
    evidence: Evidence
    # The server's credential; empty if the control plane issued none.
    credential: str = field(default="", repr=False)

    @property
    def saved_name(self) -> SavedName:
        return SavedName(ChosenName(self.name, self.ephemeral), self.environment)


class StateFolder(Protocol):
    """Where a host stores its identity. Every call may raise OSError."""

    def lock(self) -> None:
        """Create the folder, and lock it for as long as this process lives.

        Raises StateFolderTaken.
        """
        ...

    def read(self) -> SavedState | None:
        """None if nothing is stored. An unusable file is quarantined, with a warning."""
        ...

    def write(self, state: SavedState) -> None:
        """Write completely or not at all. Fields that a later version added are preserved."""
        ...

    def quarantine(self, why: QuarantineReason) -> str:
        """Rename the state file, replacing an older quarantined one. Returns the new path."""
        ...

    def forget(self) -> None:
        """Delete the state file, if there is one."""
        ...
