from collections.abc import Sequence
from typing import Protocol

from application.ports.store.outbox import RecordedEvent


class Events(Protocol):
    """Where those outside learn what happens in the fleet."""

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        """Publish all, in this order, and return once they are safe there, within seconds.

        Raises BrokerUnavailable; then some of them may be published.
        """
        ...
