from collections import deque
from collections.abc import Sequence

from application.ports.store.outbox import RecordedEvent

_MAX_EVENTS = 10_000


class MemoryEvents:
    """Keeps the last ten thousand events, for use in the same process, such as in tests."""

    def __init__(self) -> None:
        self.published: deque[RecordedEvent] = deque(maxlen=_MAX_EVENTS)

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        self.published.extend(events)
