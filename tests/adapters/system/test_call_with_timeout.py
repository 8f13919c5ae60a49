import threading

import pytest

from adapters.system.call_with_timeout import CallWithTimeout
from application.ports.store.store import StoreFailed, StoreUnavailable


def test_what_the_call_answers_or_raises_is_passed_on() -> None:
    def fail() -> None:
        raise StoreFailed

    assert CallWithTimeout(lambda: 7, 10, StoreUnavailable)() == 7
    with pytest.raises(StoreFailed):
        CallWithTimeout(fail, 10, StoreUnavailable)()


def test_a_call_that_hangs_is_given_up_and_not_made_twice() -> None:
    goes_on = threading.Event()
    made = []

    def hang() -> int:
        made.append("")
        goes_on.wait()
        return 7

    call = CallWithTimeout(hang, 0.05, StoreUnavailable)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            call()

    assert len(made) == 1
    goes_on.set()
    assert CallWithTimeout(call, 10, StoreUnavailable)() == 7


def test_a_thread_that_cannot_be_had_spoils_only_this_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    call = CallWithTimeout(lambda: 7, 10, StoreUnavailable)
    with monkeypatch.context() as short_of_threads:
        short_of_threads.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable):
            call()

    assert call() == 7
