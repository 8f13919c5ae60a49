from typing import Protocol

from domain.host_command import HostCommand


class HostNotListening(Exception):
    """The host cannot be told: the API has no broker, or the host does not listen.

    The message is one sentence that says which.
    """


class HostCommands(Protocol):
    def send(self, server_id: int, command: HostCommand) -> None:
        """Ask a host; it may be heard later. Raises BrokerUnavailable and HostNotListening."""
        ...
