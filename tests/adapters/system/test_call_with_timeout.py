import threading
from contextlib import suppress

import pytest

from adapters.system.call_with_timeout import CallWithTimeout
from application.ports.store.store import StoreFailed, StoreUnavailable


def test_the_result_or_error_of_the_call_is_passed_on() -> None:
    def fail() -> None:
        raise StoreFailed

    assert CallWithTimeout(lambda: 7, 10, StoreUnavailable)() == 7
    with pytest.raises(StoreFailed):
        CallWithTimeout(fail, 10, StoreUnavailable)()


def test_a_call_that_hangs_times_out_and_is_not_repeated_meanwhile() -> None:
    started, may_end = threading.Event(), threading.Event()
    calls = []

    def hang() -> int:
        calls.append("")
        started.set()
        may_end.wait()
        return 7

    call = CallWithTimeout(hang, 0.05, StoreUnavailable)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            call()
    started.wait()

    assert len(calls) == 1
    may_end.set()
    # On a busy machine, the next call may time out again.
    while True:
        with suppress(StoreUnavailable):
            assert call() == 7
            break


def test_a_failure_to_start_a_thread_affects_only_this_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    call = CallWithTimeout(lambda: 7, 10, StoreUnavailable)
    with monkeypatch.context() as short_of_threads:
        short_of_threads.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StoreUnavailable):
            call()

    assert call() == 7
