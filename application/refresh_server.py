from dataclasses import dataclass

from application.ports.host_commands import HostCommands
from application.ports.store import Store
from domain.host_command import HostCommand


@dataclass(frozen=True)
class RefreshServer:
    """Ask a host to report and to fetch its configuration before its next heartbeat is due.

    Returns once it is asked. Raises ServerNotFound, HostNotListening and BrokerUnavailable.
    """

    store: Store
    host_commands: HostCommands

    def __call__(self, server_id: int) -> None:
        with self.store.begin() as transaction:
            transaction.servers.get(server_id)
        for command in HostCommand:
            self.host_commands.send(server_id, command)
