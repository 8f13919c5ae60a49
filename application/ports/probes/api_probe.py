from dataclasses import dataclass
from typing import Protocol

from domain.clock_reading import ClockReading

# The id of no server.
NO_SERVER_ID = 0


@dataclass(frozen=True, slots=True)
class KeyTrial:
    """Whether the API would let in a host with the key, and its clock if it told it."""

    admitted: bool
    clock: ClockReading | None


class ApiProbe(Protocol):
    """The API as a host would meet it, which leaves no trace in the fleet.

    Raises ControlPlaneUnavailable and ControlPlaneRefused, within a few seconds.
    """

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        """With the credential of a server, if the host has one."""
        ...

    def ping_store(self, key: str) -> None:
        """Returns when the API could look something up for a host that shows this key.

        Raises InvalidRegistrationKey too.
        """
        ...
