from dataclasses import dataclass
from typing import Protocol

from domain.capabilities import Capabilities


class EngineUnavailable(Exception):
    """The container engine does not answer. The message is one sentence with the cure."""


@dataclass(frozen=True, slots=True)
class MachineReport:
    """A machine's own name and what it can do just now.

    `engine_id` is the container engine's own, empty where it has none that stays.
    """

    hostname: str
    capabilities: Capabilities
    engine_id: str = ""


class Machine(Protocol):
    def report(self) -> MachineReport:
        """Look, within a few seconds. Raises EngineUnavailable."""
        ...
