from dataclasses import dataclass

from application.access.enforcement import enforce
from application.ports.clock import Clock
from application.ports.host_commands import HostCommands
from application.ports.store.store import Store
from domain.approval import Approval
from domain.enforcement import ENFORCE_ALL, Enforcement, Switch
from domain.errors import ServerNotApproved
from domain.host_command import HostCommand


@dataclass(frozen=True)
class RefreshServer:
    """Ask a host to report and to fetch its configuration before its next heartbeat is due.

    Returns once the commands are sent. Raises ServerNotFound, ServerNotApproved, HostNotListening
    and BrokerUnavailable.
    """

    store: Store
    clock: Clock
    host_commands: HostCommands
    enforcement: Enforcement = ENFORCE_ALL

    def __call__(self, server_id: int) -> None:
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id)
            if server.approval is not Approval.APPROVED:
                error = ServerNotApproved(server_id, server.approval)
                now = self.clock.now()
                enforce(transaction, self.enforcement, Switch.APPROVAL, server, error, now)
        for command in HostCommand:
            self.host_commands.send(server_id, command)
