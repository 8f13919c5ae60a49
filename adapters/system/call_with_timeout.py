import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class CallWithTimeout(Generic[T]):
    """A call whose caller stops waiting after `seconds`, because a driver's call cannot be
    interrupted.

    The call continues in a thread of its own. Until it has ended, further callers wait for as long
    and are then refused. Raises what the call raises, and `too_late`.
    """

    call: Callable[[], T]
    seconds: float
    too_late: type[Exception]
    _running: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __call__(self) -> T:
        if not self._running.acquire(timeout=self.seconds):
            raise self.too_late
        result: Future[T] = Future()
        thread = threading.Thread(
            target=self._run, args=(result,), name="call with timeout", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system allows no further thread at present
            self._running.release()
            raise self.too_late from None
        try:
            return result.result(self.seconds)
        except TimeoutError:
            raise self.too_late from None

    def _run(self, result: Future[T]) -> None:
        try:
            result.set_result(self.call())
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            result.set_exception(error)
        finally:
            self._running.release()
