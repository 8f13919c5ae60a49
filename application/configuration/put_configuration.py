from dataclasses import dataclass

from application.configuration.effective_configuration import server_to_configure
from application.ports.clock import Clock
from application.ports.store.store import Store
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
            server, revision = server_to_configure(transaction, server_id)
            now = self.clock.now()
            configuration = Configuration(name, document, revision, now)
            transaction.configurations.put(server_id, configuration)
            transaction.servers.save(server.configured(revision))
            cause = f"an operator put the document {name}"
            transaction.outbox.add([Event(EventKind.CONFIGURED, server_id, now, cause)])
        return configuration
