from dataclasses import dataclass

from application.access.enforcement import enforce
from application.ports.clock import Clock
from application.ports.store.store import Store
from application.removal.move_to_deleted import move_to_deleted
from domain.enforcement import ENFORCE_ALL, Enforcement, Switch
from domain.errors import ServerIsOnline
from domain.liveness import Status
from domain.retention import DEFAULT_RETENTION, Retention


@dataclass(frozen=True)
class DeleteServer:
    """Delete a server with everything attached to it; RestoreServer brings it back.

    A server that is online is deleted only by force. Raises ServerNotFound and ServerIsOnline.
    """

    store: Store
    clock: Clock
    enforcement: Enforcement = ENFORCE_ALL
    retention: Retention = DEFAULT_RETENTION

    def __call__(self, server_id: int, *, force: bool = False) -> None:
        with self.store.begin() as transaction:
            # Locked first, so that no other event of this server follows its last one.
            server = transaction.servers.get(server_id, lock=True)
            now = self.clock.now()
            if server.presence.status is Status.ONLINE and not force:
                error = ServerIsOnline(server_id)
                enforce(transaction, self.enforcement, Switch.DELETE_ONLINE, server, error, now)
            move_to_deleted(
                transaction, [server], "an operator deleted it", now, self.retention.deleted
            )
