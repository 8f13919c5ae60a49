import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

from adapters.grpc.server.error_codes import TooBusy
from application.context.request_id import current_request_id, request_id_of_batch
from application.context.trace_context import calling_trace_parents, current_trace_parent

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class GroupCommit(Generic[Item, Answer]):
    """Hands over what has arrived while the last batch was being written, and for a moment more
    unless it is enough, as the next batch.

    Each caller is answered after the write of its batch, so an answer means that the item is
    durable, and under load an item costs a fraction of a commit. `write` answers the items in
    their order, with an exception for an item that it did not take; it runs in the executor,
    one batch at a time. When it raises, every caller of that batch is told so.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        executor: Executor,
        *,
        # Measured: batches three times as large, at the price of 10 ms in a call that nobody
        # waits for. Without it a quick store is asked for batches of two.
        gather_seconds: float = 0.01,
        # What a commit costs is spread thin by then, and who waits keeps the next ones from coming.
        enough: int = 64,
        largest_batch: int = 500,
        most_waiting: int = 20_000,
    ) -> None:
        self._write = write
        self._executor = executor
        self._gather_seconds = gather_seconds
        self._enough = enough
        self._largest_batch = largest_batch
        self._most_waiting = most_waiting
        self._waiting: deque[tuple[Item, str, str, asyncio.Future[Answer]]] = deque()
        self._are_enough = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Raises TooBusy, and what the write raises."""
        if len(self._waiting) >= self._most_waiting:
            raise TooBusy(retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, current_request_id.get(), current_trace_parent.get(), answer))
        if len(self._waiting) >= self._enough:
            self._are_enough.set()
        if self._writer is None:
            self._writer = loop.create_task(self._write_all(loop))
        return await answer

    async def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                await self._gather()
                size = min(len(self._waiting), self._largest_batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                if len(self._waiting) < self._enough:
                    self._are_enough.clear()
                items = [item for item, _, _, _ in batch]
                current_request_id.set(request_id_of_batch([name for _, name, _, _ in batch]))
                calling_trace_parents.set([parent for _, _, parent, _ in batch if parent])
                try:
                    answers: Sequence[Answer | Exception] = await loop.run_in_executor(
                        self._executor, copy_context().run, self._write, items
                    )
                except Exception as error:  # noqa: BLE001 - it belongs to the callers
                    answers = [error] * size
                for (_, _, _, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # its caller has gone
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._writer = None

    async def _gather(self) -> None:
        """Until enough are waiting, or for as long as one should be kept waiting for others."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                await self._are_enough.wait()
