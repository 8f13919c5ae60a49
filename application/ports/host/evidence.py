from typing import Protocol

from domain.machine_evidence import Evidence


class MachineEvidence(Protocol):
    def read(self) -> Evidence:
        """The identifiers of this machine, without those of its container engine and this process.

        A field is empty if nothing can be read. Never raises.
        """
        ...
