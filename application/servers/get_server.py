from dataclasses import dataclass

from application.ports.store.store import Store
from domain.server import Server


@dataclass(frozen=True)
class GetServer:
    """One server. Raises ServerNotFound."""

    store: Store

    def __call__(self, server_id: int) -> Server:
        with self.store.begin() as transaction:
            return transaction.servers.get(server_id)
