from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.store.outbox import RecordedEvent
from application.ports.store.store import Store

_BATCH_SIZE = 100


@dataclass(frozen=True)
class RelayEvents:
    """Publish the oldest waiting events, and delete them once the broker has confirmed them.

    Each event is published at least once, and the events of one server in order. Only one process
    publishes at a time: the one that holds the lease. If it dies, the others wait until the lease
    expires. An event is published twice only if its publisher is suspended for longer than that.

    Raises BrokerUnavailable, StoreUnavailable and StoreFailed.
    """

    store: Store
    events: Events
    clock: Clock
    # Different for each process.
    holder: str
    lease: timedelta = timedelta(seconds=30)
    # Younger events wait, because a process that has a broker may publish them.
    hold_back: timedelta = timedelta(0)

    def __call__(self) -> bool:
        """Returns whether there may be more to publish immediately."""
        with self.store.begin() as transaction:
            now = self.clock.now()
            # Checked before the lease, because mostly there are no events, and a lease is a write.
            if not self._due(transaction.outbox.oldest(1), now):
                return False
            if not transaction.outbox.lease(self.holder, now, now + self.lease):
                return False
            waiting = self._due(transaction.outbox.oldest(_BATCH_SIZE), now)
        published = False
        try:
            self.events.publish(waiting)
            published = True
        finally:
            with self.store.begin() as transaction:
                if published:
                    transaction.outbox.remove([event.entry_id for event in waiting])
                transaction.outbox.release_lease(self.holder)
        return len(waiting) == _BATCH_SIZE

    def _due(self, events: Sequence[RecordedEvent], now: datetime) -> Sequence[RecordedEvent]:
        if not self.hold_back:
            return events
        # Up to the first one that is too young, so that no event overtakes another.
        return list(takewhile(lambda event: event.at <= now - self.hold_back, events))
