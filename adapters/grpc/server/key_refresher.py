import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from application.ports.store.store import StoreFailed, StoreUnavailable

_REST_FOR_EACH_SECOND = 20


class KeyRefresher:
    """Has the keys looked at again when somebody shows one that is not known: one look at a time
    and a second, however many do, and where there are so many keys that it takes long, less often.
    """

    def __init__(self, look: Callable[[], None], *, seconds: float = 1.0) -> None:
        self._look = look
        self._seconds = seconds
        self._next = 0.0
        self._looking: asyncio.Future[None] | None = None

    def ask(self) -> None:
        """Returns at once."""
        is_looking = self._looking is not None and not self._looking.done()
        if is_looking or time.monotonic() < self._next:
            return
        # Not in the threads of anybody's calls: those may all be taken.
        self._looking = asyncio.get_running_loop().run_in_executor(None, self._look_if_it_can)

    def _look_if_it_can(self) -> None:
        began = time.monotonic()
        # Who needs the store says so.
        with suppress(StoreUnavailable, StoreFailed):
            self._look()
        ended = time.monotonic()
        self._next = ended + max(self._seconds, _REST_FOR_EACH_SECOND * (ended - began))
