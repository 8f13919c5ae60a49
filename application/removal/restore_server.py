from dataclasses import dataclass

from application.configuration.effective_configuration import force_resync
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.errors import ServerNameTaken
from domain.events import Event, EventKind
from domain.naming import check_name
from domain.server import Server


@dataclass(frozen=True)
class RestoreServer:
    """Restore a deleted server with everything attached to it: offline, and not the default.

    It gets its old name unless another one is given. Raises DeletedServerNotFound, ServerNameTaken
    and InvalidField.
    """

    store: Store
    clock: Clock

    def __call__(self, server_id: int, name: str = "") -> Server:
        if name:
            check_name(name)
        try:
            with self.store.begin() as transaction:
                last_revision = transaction.configuration_clock.hold()
                server = transaction.deleted_servers.restore(server_id, name)
                force_resync(transaction, server, last_revision)
                server = transaction.servers.get(server_id)
                transaction.outbox.add(
                    [Event(EventKind.RESTORED, server_id, self.clock.now(), _cause(name))]
                )
        except ServerNameTaken as taken:
            raise ServerNameTaken(
                taken.name,
                "restore this one under another name (--name), or delete that one first",
            ) from None
        return server


def _cause(name: str) -> str:
    restored = "an operator restored it"
    return f"{restored} under the name {name}" if name else restored
