from typing import Protocol

from domain.host_command import HostCommand


class HostNotListening(Exception):
    """The host cannot be reached with commands: the API has no broker, or the host does not listen.

    The message is one sentence that says which.
    """


class HostCommands(Protocol):
    def send(self, server_id: int, command: HostCommand) -> None:
        """Send a command to a host, which may receive it later. Raises BrokerUnavailable and
        HostNotListening."""
        ...
