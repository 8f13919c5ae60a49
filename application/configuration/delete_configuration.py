from dataclasses import dataclass

from application.configuration.effective_configuration import (
    effective_configuration,
    server_to_configure,
)
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.configuration import check_configuration_name, has_older_revision
from domain.errors import ConfigurationNotFound
from domain.events import Event, EventKind


@dataclass(frozen=True)
class DeleteConfiguration:
    """Delete a document of a server. A selector's document of that name then applies instead.

    Raises InvalidField, ServerNotFound and ConfigurationNotFound.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int, name: str) -> None:
        check_configuration_name(name)
        with self.store.begin() as transaction:
            server, revision = server_to_configure(transaction, server_id)
            before = effective_configuration(transaction, server)
            if not transaction.configurations.remove(server_id, name):
                raise ConfigurationNotFound(server_id, name)
            after = effective_configuration(transaction, server)
            resync = has_older_revision(before, after, server.config_revision)
            transaction.servers.save(server.configured(revision, resync=resync))
            cause = f"an operator deleted the document {name}"
            transaction.outbox.add(
                [Event(EventKind.CONFIGURED, server_id, self.clock.now(), cause)]
            )
