import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import ParamSpec, TypeVar

from adapters.grpc.server.error_codes import TooBusy

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Threads for synchronous use cases, with a bounded queue in front."""

    def __init__(self, name: str, threads: int, *, max_waiting: int = 2000) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most_waiting = max_waiting
        self._waiting = 0

    async def run(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Raises TooBusy, and what the call raises."""
        if self._waiting >= self._most_waiting:
            raise TooBusy(retry_after_seconds=1)
        self._waiting += 1
        # The thread sees the request's context variables, for example its request id.
        context = copy_context()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, lambda: context.run(call, *arguments, **options)
            )
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for the calls that run, and drop those that wait."""
        self._executor.shutdown(cancel_futures=True)
