from collections.abc import Sequence
from dataclasses import dataclass

from application.configuration.effective_configuration import effective_configuration
from application.ports.store.store import Store
from domain.configuration import ConfigurationSummary


@dataclass(frozen=True)
class GetEffectiveConfiguration:
    """The documents that apply to a server, by name, each with its selector.

    A server that waits for approval is answered too, although it gets nothing yet. Raises
    ServerNotFound.
    """

    store: Store

    def __call__(self, server_id: int) -> Sequence[ConfigurationSummary]:
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id)
            return effective_configuration(transaction, server)
