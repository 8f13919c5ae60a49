from collections.abc import Sequence
from typing import Protocol

from application.ports.store.outbox import RecordedEvent


class Events(Protocol):
    """Publishes what happens in the fleet to programs outside."""

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        """Publish all events in this order. Returns, within seconds, once the broker has them.

        Raises BrokerUnavailable; some of the events may be published then.
        """
        ...
