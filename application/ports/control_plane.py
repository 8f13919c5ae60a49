from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges


class ControlPlaneUnavailable(Exception):
    """It cannot be reached or cannot answer now. The message is one sentence for an operator."""


class ControlPlaneRefused(Exception):
    """It answered, and trying again with the same words makes no sense.

    The message is one sentence that says what to change.
    """


@dataclass(frozen=True, slots=True)
class Joined:
    server_id: int
    next_heartbeat: timedelta
    config_revision: int


@dataclass(frozen=True, slots=True)
class Heard:
    next_heartbeat: timedelta
    config_revision: int


class ControlPlane(Protocol):
    """The API as a host sees it, over whatever transport.

    Every call raises ControlPlaneUnavailable, and within a bounded time. The registration key
    is the adapter's business. `heartbeat` and `fetch_configuration` raise ServerNotFound.
    """

    def register(self, name: str, environment: str, capabilities: Capabilities) -> Joined:
        """Raises InvalidRegistrationKey and ControlPlaneRefused."""
        ...

    def heartbeat(
        self, server_id: int, capabilities: Capabilities | None, *, leaving: bool = False
    ) -> Heard: ...

    def fetch_configuration(self, server_id: int, known_revision: int) -> ConfigurationChanges:
        """Raises InvalidRegistrationKey."""
        ...


class ConnectedControlPlane(ControlPlane, Protocol):
    """One that holds a connection, which its owner closes."""

    def close(self) -> None: ...
