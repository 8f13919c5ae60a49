import threading
import time

from adapters.system.sleep import InterruptibleSleep

LONG = 20.0


def test_a_wait_that_nobody_disturbs_takes_its_time() -> None:
    began = time.monotonic()

    assert not InterruptibleSleep().wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_stop_ends_every_wait_from_then_on() -> None:
    pause = InterruptibleSleep()
    threading.Timer(0.05, pause.stop).start()
    began = time.monotonic()

    assert pause.wait(LONG)
    assert pause.wait(LONG)
    assert pause.wait(0)
    assert time.monotonic() - began < LONG / 2


def test_who_is_woken_rests_again_the_next_time() -> None:
    pause = InterruptibleSleep()
    threading.Timer(0.05, pause.wake).start()
    began = time.monotonic()

    assert not pause.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert not pause.wait(0.05)


def test_a_call_that_comes_before_the_wait_is_not_lost() -> None:
    pause = InterruptibleSleep()
    pause.wake()
    began = time.monotonic()

    assert not pause.wait(0)
    assert not pause.wait(LONG)
    assert time.monotonic() - began < LONG / 2


def test_a_stop_is_stronger_than_a_call() -> None:
    pause = InterruptibleSleep()
    pause.stop()
    pause.wake()

    assert pause.wait(LONG)
