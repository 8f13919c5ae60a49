from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store import Store
from domain.configuration import check_configuration_name
from domain.errors import ConfigurationNotFound
from domain.events import Event, EventKind


@dataclass(frozen=True)
class DeleteConfiguration:
    """Take a document from a server. Raises InvalidField, ServerNotFound and
    ConfigurationNotFound.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int, name: str) -> None:
        check_configuration_name(name)
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id, lock=True)
            if not transaction.configurations.remove(server_id, name):
                raise ConfigurationNotFound(server_id, name)
            transaction.servers.save(replace(server, config_revision=server.config_revision + 1))
            transaction.outbox.add([Event(EventKind.CONFIGURED, server_id, self.clock.now())])
