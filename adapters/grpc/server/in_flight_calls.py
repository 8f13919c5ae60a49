import asyncio
from types import TracebackType


class Draining(Exception):
    """The API is stopping and accepts no more calls. Another API does, or this one after it has
    started again."""

    def __init__(self) -> None:
        super().__init__("this API is stopping, try again")


class InFlightCalls:
    """Counts the calls in progress, and refuses new ones once it is closed.

    gRPC itself would cancel calls that arrive while it stops, without a message for the client.
    """

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._empty = asyncio.Event()

    def __enter__(self) -> None:
        """Raises Draining."""
        if self._closed:
            raise Draining
        self._count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._count -= 1
        if self._closed and not self._count:
            self._empty.set()

    async def close(self, timeout_seconds: float) -> None:
        """Refuse new calls and wait for those in progress, at most this long."""
        self._closed = True
        if self._count:
            try:
                await asyncio.wait_for(self._empty.wait(), timeout_seconds)
            except TimeoutError:
                return
