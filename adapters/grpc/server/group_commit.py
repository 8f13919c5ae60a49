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
    """Writes items in batches: a batch is everything that arrived during the last write.

    If fewer than `flush_size` items are waiting, it waits `gather_seconds` for more. Each caller is
    answered after its batch has been written. So an answer means that the item is durable, and
    under load an item costs a fraction of a commit.

    `write` runs in the executor, one batch at a time. It returns an answer for each item, in their
    order: an exception for an item that it refused. If it raises, every caller of that batch gets
    the error.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        executor: Executor,
        *,
        # Measured: batches are three times as large, and a call takes 10 ms longer, for which no
        # host waits. Without it, a fast store gets batches of two.
        gather_seconds: float = 0.01,
        # Sharing a commit among more saves little, and callers that wait send nothing new.
        flush_size: int = 64,
        max_batch_size: int = 500,
        max_waiting: int = 20_000,
    ) -> None:
        self._write = write
        self._executor = executor
        self._gather_seconds = gather_seconds
        self._flush_size = flush_size
        self._largest_batch = max_batch_size
        self._most_waiting = max_waiting
        self._waiting: deque[tuple[Item, str, str, asyncio.Future[Answer]]] = deque()
        self._is_flush_size_reached = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Answer:
        """Raises TooBusy, and what the write raises."""
        if len(self._waiting) >= self._most_waiting:
            raise TooBusy(retry_after_seconds=1)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, current_request_id.get(), current_trace_parent.get(), answer))
        if len(self._waiting) >= self._flush_size:
            self._is_flush_size_reached.set()
        if self._writer is None:
            self._writer = loop.create_task(self._write_all(loop))
        return await answer

    async def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while self._waiting:
                await self._gather()
                size = min(len(self._waiting), self._largest_batch)
                batch = [self._waiting.popleft() for _ in range(size)]
                if len(self._waiting) < self._flush_size:
                    self._is_flush_size_reached.clear()
                items = [item for item, _, _, _ in batch]
                current_request_id.set(request_id_of_batch([name for _, name, _, _ in batch]))
                calling_trace_parents.set([parent for _, _, parent, _ in batch if parent])
                try:
                    answers: Sequence[Answer | Exception] = await loop.run_in_executor(
                        self._executor, copy_context().run, self._write, items
                    )
                except Exception as error:  # noqa: BLE001 - every caller gets it
                    answers = [error] * size
                for (_, _, _, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # the caller has given up
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._writer = None

    async def _gather(self) -> None:
        """Wait until `flush_size` items are waiting, at most `gather_seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_seconds):
                await self._is_flush_size_reached.wait()
