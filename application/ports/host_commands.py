from typing import Protocol

from domain.host_command import HostCommand


class HostNotListening(Exception):
    """Nobody would hear it. The message is one sentence that says why."""


class HostCommands(Protocol):
    def send(self, server_id: int, command: HostCommand) -> None:
        """Ask a host; it may be heard later. Raises BrokerUnavailable and HostNotListening."""
        ...
