from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.events import Event, EventKind

# Their heartbeats wait meanwhile.
_BATCH_SIZE = 500


@dataclass(frozen=True)
class PropagateConfiguration:
    """Give the next servers that a change on a selector is for a new revision, and tell of it.

    A change may be for all of a large fleet, whose heartbeats must not wait for it. Any number of
    processes may do it at once, and one goes on where another one ended.
    """

    store: Store
    clock: Clock
    batch_size: int = _BATCH_SIZE

    def __call__(self) -> bool:
        """Whether there may be more to do at once."""
        with self.store.begin() as transaction:
            change = transaction.selector_changes.oldest()
            if change is None:
                return transaction.selector_changes.any()
            server_ids = transaction.servers.lock_selected(
                change.selector, change.reached, self.batch_size
            )
            transaction.servers.configure(server_ids, change.revision, resync=change.resync)
            now = self.clock.now()
            transaction.outbox.add(
                [
                    Event(EventKind.CONFIGURED, server_id, now, change.cause)
                    for server_id in server_ids
                ]
            )
            if len(server_ids) < self.batch_size:
                transaction.selector_changes.finish(change.revision)
            else:
                transaction.selector_changes.reach(change.revision, server_ids[-1])
        return True
