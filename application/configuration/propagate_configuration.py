from dataclasses import dataclass

from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.events import Event, EventKind

# The heartbeats of these servers wait meanwhile.
_BATCH_SIZE = 500


@dataclass(frozen=True)
class PropagateConfiguration:
    """Give a new revision to the next batch of servers that a change on a selector applies to, and
    publish it.

    A change may apply to all of a large fleet, whose heartbeats must not wait for it. Any number
    of processes may do this at once; each continues where another one ended.
    """

    store: Store
    clock: Clock
    batch_size: int = _BATCH_SIZE

    def __call__(self) -> bool:
        """Returns whether there may be more to do immediately."""
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
