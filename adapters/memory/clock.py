import threading
from datetime import UTC, datetime, timedelta


class MemoryClock:
    """A clock that stands still until `advance` is called. Starts at the time of the machine."""

    def __init__(self, start: datetime | None = None) -> None:
        self._lock = threading.Lock()
        self._now = (start or datetime.now(UTC)).astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> datetime:
        """Move the clock forward, or back by a negative duration; returns the new time."""
        with self._lock:
            self._now += by
            return self._now
