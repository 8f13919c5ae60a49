import threading
import time

from adapters.system.sleep import InterruptibleSleep

LONG = 60.0


def test_an_undisturbed_wait_takes_its_time() -> None:
    began = time.monotonic()

    assert not InterruptibleSleep().wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_stop_ends_every_wait_from_then_on() -> None:
    sleep = InterruptibleSleep()
    threading.Timer(0.05, sleep.stop).start()
    began = time.monotonic()

    assert sleep.wait(LONG)
    assert sleep.wait(LONG)
    assert sleep.wait(0)
    assert time.monotonic() - began < LONG / 2


def test_a_wake_ends_one_wait_only() -> None:
    sleep = InterruptibleSleep()
    threading.Timer(0.05, sleep.wake).start()
    began = time.monotonic()

    assert not sleep.wait(LONG)
    assert time.monotonic() - began < LONG / 2
    assert not sleep.wait(0.05)


def test_a_wake_before_the_wait_is_not_lost() -> None:
    sleep = InterruptibleSleep()
    sleep.wake()
    began = time.monotonic()

    assert not sleep.wait(0)
    assert not sleep.wait(LONG)
    assert time.monotonic() - began < LONG / 2


def test_a_stop_outlasts_a_wake() -> None:
    sleep = InterruptibleSleep()
    sleep.stop()
    sleep.wake()

    assert sleep.wait(LONG)
