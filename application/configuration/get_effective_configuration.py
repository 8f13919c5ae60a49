from collections.abc import Sequence
from dataclasses import dataclass

from application.configuration.effective_configuration import effective_configuration
from application.ports.store.store import Store
from domain.configuration import ConfigurationSummary


@dataclass(frozen=True)
class GetEffectiveConfiguration:
    """What a server gets, by name, and of which selector it is. Raises ServerNotFound.

    Also of a server that gets nothing yet, because it waits for an operator.
    """

    store: Store

    def __call__(self, server_id: int) -> Sequence[ConfigurationSummary]:
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id)
            return effective_configuration(transaction, server)
