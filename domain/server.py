"""A machine of the fleet."""

from dataclasses import dataclass, replace

from domain.capabilities import Capabilities
from domain.liveness import NEVER_SEEN, Presence


@dataclass(frozen=True, slots=True)
class Server:
    """The record that a name owns: its server_id never changes, and configuration hangs on it.

    `config_revision` grows with every change of the server's configuration; 0 means that
    none was ever attached.
    """

    server_id: int
    name: str
    environment: str = ""
    presence: Presence = NEVER_SEEN
    is_default: bool = False
    capabilities: Capabilities | None = None
    config_revision: int = 0

    def registered(
        self, environment: str, capabilities: Capabilities | None, presence: Presence
    ) -> "Server":
        """The record after its host joined. What the host leaves out stays as it was."""
        return replace(
            self,
            environment=environment or self.environment,
            capabilities=self.capabilities if capabilities is None else capabilities,
            presence=presence,
        )
