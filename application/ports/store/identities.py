from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.machine_evidence import Evidence, Identity


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    server_id: int
    identity: Identity


class Identities(Protocol):
    """Who registered each server last."""

    def get(self, server_id: int) -> Identity:
        """UNKNOWN_IDENTITY when none was ever kept."""
        ...

    def save(self, server_id: int, identity: Identity) -> None:
        """The server exists and is locked."""
        ...

    def of_machine(self, evidence: Evidence) -> Sequence[KnownIdentity]:
        """Those that two witnesses show to be of the same machine, see domain.machine_evidence, by
        server_id; at most 100."""
        ...

    def new_machine(self) -> int:
        """A number that no machine has or had, and no server as its id."""
        ...
