from typing import Protocol

from domain.machine_evidence import Evidence


class MachineEvidence(Protocol):
    def read(self) -> Evidence:
        """What tells this machine from another, without its container engine and this process.

        A field is empty where nothing can be read. Never raises.
        """
        ...
