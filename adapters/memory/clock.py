import threading
from datetime import UTC, datetime, timedelta


class MemoryClock:
    """A clock that stands still until somebody turns it. Begins at the machine's time."""

    def __init__(self, start: datetime | None = None) -> None:
        self._one_at_a_time = threading.Lock()
        self._now = (start or datetime.now(UTC)).astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Turn it on, or back by a negative duration; returns the new time."""
        with self._one_at_a_time:
            self._now += by
            return self._now
