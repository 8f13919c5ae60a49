import asyncio
from types import TracebackType


class Draining(Exception):
    """This API stops and takes no more calls; another one, or its next start, will."""

    def __init__(self) -> None:
        super().__init__("this API is stopping, try again")


class InFlightCalls:
    """Counts the calls that are under way; once closed it lets no more in.

    gRPC itself would cancel calls that arrive while it stops, which tells a client nothing.
    """

    def __init__(self) -> None:
        self._under_way = 0
        self._closed = False
        self._empty = asyncio.Event()

    def __enter__(self) -> None:
        """Raises Draining."""
        if self._closed:
            raise Draining
        self._under_way += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._under_way -= 1
        if self._closed and not self._under_way:
            self._empty.set()

    async def close(self, timeout_seconds: float) -> None:
        """Returns when the last call has ended, or patience has."""
        self._closed = True
        if self._under_way:
            try:
                await asyncio.wait_for(self._empty.wait(), timeout_seconds)
            except TimeoutError:
                return
