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
    lease: timedelta = timedelta(seconds=30)
    # What is younger waits: there may be a process with a broker that publishes it for real.
    hold_back: timedelta = timedelta(0)

    def __call__(self) -> bool:
        """Whether there may be more to publish at once."""
        with self.store.begin() as transaction:
            now = self.clock.now()
            # Looked at first, because most of the time there is nothing, and a lease is a write.
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
        # Up to the first that is too young, so that none overtakes another.
        return list(takewhile(lambda event: event.at <= now - self.hold_back, events))
