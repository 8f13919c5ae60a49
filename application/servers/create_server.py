from dataclasses import dataclass

from application.configuration.effective_configuration import configure_new_server
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.events import Event, EventKind
from domain.naming import check_environment, check_name
from domain.server import Server


@dataclass(frozen=True)
class CreateServer:
    """Create a server before its host has joined. Raises ServerNameTaken, InvalidField."""

    store: Store
    clock: Clock

    def __call__(self, name: str, environment: str) -> Server:
        check_name(name)
        check_environment(environment)
        with self.store.begin() as transaction:
            last_revision = transaction.configuration_clock.hold()
            server = transaction.servers.add(name, environment)
            configure_new_server(transaction, server.server_id, last_revision)
            cause = "an operator created it"
            created = Event(EventKind.CREATED, server.server_id, self.clock.now(), cause)
            transaction.outbox.add([created])
            return transaction.servers.get(server.server_id)
