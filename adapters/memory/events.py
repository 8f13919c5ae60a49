from collections import deque
from collections.abc import Sequence

from application.ports.store.outbox import RecordedEvent

_REMEMBERED = 10_000


class MemoryEvents:
    """Events for whoever is in the same process; the last ten thousand are remembered."""

    def __init__(self) -> None:
        self.published: deque[RecordedEvent] = deque(maxlen=_REMEMBERED)

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        self.published.extend(events)
