from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.machine_evidence import Evidence, Identity


@dataclass(frozen=True, slots=True)
class KnownIdentity:
    server_id: int
    identity: Identity


class Identities(Protocol):
    """The machine and process that registered each server last."""

    def get(self, server_id: int) -> Identity:
        """UNKNOWN_IDENTITY if none was ever stored."""
        ...

    def save(self, server_id: int, identity: Identity) -> None:
        """The server must exist and be locked."""
        ...

    def of_machine(self, evidence: Evidence) -> Sequence[KnownIdentity]:
        """The identities of the same machine, by server_id; at most 100.

        Two sources of evidence must agree, see domain.machine_evidence.
        """
        ...

    def new_machine(self) -> int:
        """A number that no machine ever had and no server has as its id."""
        ...
