import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from application.ports.store.store import StoreFailed, StoreUnavailable

_PAUSE_PER_SECOND_OF_REFRESH = 20


class KeyRefresher:
    """Refreshes the key cache when an unknown key arrives: one refresh at a time, and at most one
    a second. With so many keys that a refresh takes long, it refreshes less often.
    """

    def __init__(self, refresh: Callable[[], None], *, min_interval_seconds: float = 1.0) -> None:
        self._refresh = refresh
        self._min_interval_seconds = min_interval_seconds
        self._next_at = 0.0
        self._running: asyncio.Future[None] | None = None

    def request(self) -> None:
        """Returns at once."""
        is_running = self._running is not None and not self._running.done()
        if is_running or time.monotonic() < self._next_at:
            return
        # Calls have threads of their own, and all of those may be busy.
        self._running = asyncio.get_running_loop().run_in_executor(None, self._try_to_refresh)

    def _try_to_refresh(self) -> None:
        started_at = time.monotonic()
        # The calls that need the store report that it is away.
        with suppress(StoreUnavailable, StoreFailed):
            self._refresh()
        ended_at = time.monotonic()
        pause = _PAUSE_PER_SECOND_OF_REFRESH * (ended_at - started_at)
        self._next_at = ended_at + max(self._min_interval_seconds, pause)
