from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.store import Store

_AT_ONCE = 100


@dataclass(frozen=True)
class RelayEvents:
    """Publish the oldest events that wait, and forget them once they are safe.

    Each event is published at least once, those of one server in their order. Of several
    processes one publishes at a time: whoever finds the lease free takes the next events, and
    who dies with it holds the others up for as long as it would have lasted. Two publish the
    same event only when one of them is stopped for longer than that.

    Raises BrokerUnavailable, StoreUnavailable and StoreFailed.
    """

    store: Store
    events: Events
    clock: Clock
    # Another one for each process.
    holder: str
    lease: timedelta = timedelta(seconds=15)

    def __call__(self) -> bool:
        """Whether there may be more to publish at once."""
        with self.store.begin() as transaction:
            # Looked at first, because most of the time there is nothing, and a lease is a write.
            if not transaction.outbox.oldest(1):
                return False
            now = self.clock.now()
            if not transaction.outbox.lease(self.holder, now, now + self.lease):
                return False
            waiting = transaction.outbox.oldest(_AT_ONCE)
        published = False
        try:
            self.events.publish(waiting)
            published = True
        finally:
            with self.store.begin() as transaction:
                if published:
                    transaction.outbox.remove([event.entry_id for event in waiting])
                transaction.outbox.give_back(self.holder)
        return len(waiting) == _AT_ONCE
