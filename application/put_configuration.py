from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store import Store
from domain.configuration import Configuration, check_configuration_name, check_document
from domain.events import Event, EventKind


@dataclass(frozen=True)
class PutConfiguration:
    """Attach a document to a server, or replace it. Raises ServerNotFound, InvalidField."""

    store: Store
    clock: Clock

    def __call__(self, server_id: int, name: str, document: str) -> Configuration:
        check_configuration_name(name)
        check_document(document)
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id, lock=True)
            server = replace(server, config_revision=server.config_revision + 1)
            now = self.clock.now()
            configuration = Configuration(name, document, server.config_revision, now)
            transaction.configurations.put(server_id, configuration)
            transaction.servers.save(server)
            transaction.outbox.add([Event(EventKind.CONFIGURED, server_id, now)])
        return configuration
