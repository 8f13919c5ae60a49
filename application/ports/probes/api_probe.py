from dataclasses import dataclass
from typing import Protocol

from domain.clock_reading import ClockReading

# An id that no server has.
NO_SERVER_ID = 0


@dataclass(frozen=True, slots=True)
class KeyTrial:
    """Whether the API would admit a host with the key, and the API's clock if it sent it."""

    admitted: bool
    clock: ClockReading | None


class ApiProbe(Protocol):
    """Calls the API as a host would, without leaving a trace in the fleet.

    Every call raises ControlPlaneUnavailable and ControlPlaneRefused, within a few seconds.
    """

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        """Present the key, and the credential of a server if the host has one."""
        ...

    def ping_store(self, key: str) -> None:
        """Returns if the API could query its store for a host with this key.

        Raises InvalidRegistrationKey too.
        """
        ...
