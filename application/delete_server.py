from dataclasses import dataclass

from application.ports.store import Store


@dataclass(frozen=True)
class DeleteServer:
    """Delete a server and everything that hangs on it. Raises ServerNotFound."""

    store: Store

    def __call__(self, server_id: int) -> None:
        with self.store.begin() as transaction:
            transaction.servers.remove(server_id)
