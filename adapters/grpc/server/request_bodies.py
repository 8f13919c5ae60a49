import asyncio
import time
from contextlib import suppress
from typing import Any

import grpc.aio

from adapters.grpc.messages.metadata import STATUS_DETAILS, UNIX_TIME
from adapters.grpc.server.error_codes import EmptyRequest, RequestTimeout, status_of

_LOOK_SECONDS = 1.0


class RequestBodies:
    """Reads the bodies of calls, and refuses those that do not arrive in time: gRPC itself waits
    for ever. Patience is longer than hosts and operators wait for an answer.
    """

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        # Since when; those that wait longest come first.
        self._waiting: dict[Any, float] = {}
        self._next_look: asyncio.TimerHandle | None = None
        self._refusals: set[asyncio.Task[None]] = set()

    async def read(self, context: Any) -> bytes:
        """Raises EmptyRequest where the call ended without one, and AbortError if refused."""
        self._waiting[context] = time.monotonic()
        if self._next_look is None:
            self._schedule_timeout_check()
        try:
            body = await context.read()
        finally:
            self._waiting.pop(context, None)
        if body is grpc.aio.EOF:
            raise EmptyRequest
        return body  # type: ignore[no-any-return]  # there is no deserializer

    def _schedule_timeout_check(self) -> None:
        seconds = min(_LOOK_SECONDS, self._timeout_seconds)
        self._next_look = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._next_look = None
        began_before = time.monotonic() - self._timeout_seconds
        late = []
        for context, began in self._waiting.items():
            if began > began_before:
                break
            late.append(context)
        for context in late:
            self._refuse(context)
        if self._waiting:
            self._schedule_timeout_check()

    def _refuse(self, context: Any) -> None:
        del self._waiting[context]
        # By another task: to cancel the one that reads would free what gRPC is to write into.
        refusal = asyncio.get_running_loop().create_task(_abort(context))
        self._refusals.add(refusal)
        refusal.add_done_callback(self._refusals.discard)


async def _abort(context: Any) -> None:
    code, status = status_of(RequestTimeout(), "")
    # What it raises, whoever reads gets, too; and the call may be over by now.
    with suppress(grpc.aio.BaseError, asyncio.CancelledError):
        await context.abort(
            code,
            status.message,
            trailing_metadata=(
                (STATUS_DETAILS, status.SerializeToString()),
                (UNIX_TIME, f"{time.time():.3f}"),
            ),
        )
