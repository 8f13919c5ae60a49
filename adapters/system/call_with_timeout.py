import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class CallWithTimeout(Generic[T]):
    """A call that its caller gives up after a while, since a driver's call cannot be broken off.

    It goes on in a thread of its own; until it has ended, further callers are refused after the
    same while. Raises what the call raises, and `too_late`.
    """

    call: Callable[[], T]
    seconds: float
    too_late: type[Exception]
    _turn: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __call__(self) -> T:
        if not self._turn.acquire(timeout=self.seconds):
            raise self.too_late
        answer: Future[T] = Future()
        thread = threading.Thread(target=self._run, args=(answer,), name="bounded", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread can be had now
            self._turn.release()
            raise self.too_late from None
        try:
            return answer.result(self.seconds)
        except TimeoutError:
            raise self.too_late from None

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self.call())
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            answer.set_exception(error)
        finally:
            self._turn.release()
