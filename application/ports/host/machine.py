from dataclasses import dataclass
from typing import Protocol

from application.ports.diagnosis import DiagnosedFailure
from domain.capabilities import Capabilities


class EngineUnavailable(DiagnosedFailure):
    """The container engine does not answer. The message is one sentence with the fix."""


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A machine's hostname and its present capabilities.

    `engine_id` is the id of the container engine, empty if the engine has no permanent id.
    """

    hostname: str
    capabilities: Capabilities
    engine_id: str = ""


class Machine(Protocol):
    def report(self) -> MachineReport:
        """Read the machine, within a few seconds. Raises EngineUnavailable."""
        ...
