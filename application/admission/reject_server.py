from dataclasses import dataclass

from application.admission.refuse_server import refuse_server
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.approval import Approval, check_reason
from domain.server import Server


@dataclass(frozen=True)
class RejectServer:
    """Refuse a server under its name; its machine may join under another name. This lifts a ban
    that was made on this server.

    Raises ServerNotFound and InvalidField.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int, reason: str = "") -> Server:
        check_reason(reason)
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id, lock=True)
            lifted = transaction.bans.remove(server_id)
            cause = "an operator rejected it"
            if lifted:
                cause += " instead of banning its machine"
            return refuse_server(
                transaction, server, Approval.REJECTED, cause, reason, self.clock.now()
            )
