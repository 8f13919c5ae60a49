import asyncio
import time
from contextlib import suppress
from typing import Any

import grpc.aio

from adapters.grpc.messages.metadata import STATUS_DETAILS, UNIX_TIME
from adapters.grpc.server.error_codes import EmptyRequest, RequestTimeout, status_of

_CHECK_INTERVAL_SECONDS = 1.0


class RequestBodies:
    """Reads the bodies of calls, and refuses calls whose body does not arrive in time. gRPC itself
    waits without a limit. The default timeout is longer than hosts and operators wait for an
    answer.
    """

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        # The call, and since when it waits; those that wait longest come first.
        self._waiting: dict[Any, float] = {}
        self._next_check: asyncio.TimerHandle | None = None
        self._refusals: set[asyncio.Task[None]] = set()

    async def read(self, context: Any) -> bytes:
        """Raises EmptyRequest if the call ended without a body, AbortError if it was refused."""
        self._waiting[context] = time.monotonic()
        if self._next_check is None:
            self._schedule_timeout_check()
        try:
            body = await context.read()
        finally:
            self._waiting.pop(context, None)
        if body is grpc.aio.EOF:
            raise EmptyRequest
        return body  # type: ignore[no-any-return]  # there is no deserializer

    def _schedule_timeout_check(self) -> None:
        seconds = min(_CHECK_INTERVAL_SECONDS, self._timeout_seconds)
        self._next_check = asyncio.get_running_loop().call_later(seconds, self._check_timeouts)

    def _check_timeouts(self) -> None:
        self._next_check = None
        started_before = time.monotonic() - self._timeout_seconds
        late = []
        for context, started_at in self._waiting.items():
            if started_at > started_before:
                break
            late.append(context)
        for context in late:
            self._refuse(context)
        if self._waiting:
            self._schedule_timeout_check()

    def _refuse(self, context: Any) -> None:
        del self._waiting[context]
        # In a task of its own: cancelling the task that reads would free the memory that gRPC still
        # writes into.
        refusal = asyncio.get_running_loop().create_task(_abort(context))
        self._refusals.add(refusal)
        refusal.add_done_callback(self._refusals.discard)


async def _abort(context: Any) -> None:
    code, status = status_of(RequestTimeout(), "")
    # The task that reads gets the same error, and the call may have ended already.
    with suppress(grpc.aio.BaseError, asyncio.CancelledError):
        await context.abort(
            code,
            status.message,
            trailing_metadata=(
                (STATUS_DETAILS, status.SerializeToString()),
                (UNIX_TIME, f"{time.time():.3f}"),
            ),
        )
