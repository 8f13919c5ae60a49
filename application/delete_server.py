from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store import Store
from domain.events import Event, EventKind


@dataclass(frozen=True)
class DeleteServer:
    """Delete a server and everything that hangs on it. Raises ServerNotFound."""

    store: Store
    clock: Clock

    def __call__(self, server_id: int) -> None:
        with self.store.begin() as transaction:
            # Locked first, so that no other event of this server comes behind its last one.
            transaction.servers.get(server_id, lock=True)
            transaction.outbox.add([Event(EventKind.DELETED, server_id, self.clock.now())])
            transaction.servers.remove(server_id)
