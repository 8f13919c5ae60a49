from collections.abc import Sequence
from dataclasses import dataclass

from application.ports.store.store import Store
from domain.configuration import ConfigurationSummary


@dataclass(frozen=True)
class ListConfigurations:
    """A server's documents by name, without their text. Raises ServerNotFound."""

    store: Store

    def __call__(self, server_id: int) -> Sequence[ConfigurationSummary]:
        with self.store.begin() as transaction:
            transaction.servers.get(server_id)
            return transaction.configurations.summaries(server_id)
