import contextlib
import math
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.system.notifier import SystemdNotifier
from domain.host_state import HostState


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """The service manager's end, and how NOTIFY_SOCKET names it."""
    with (
        tempfile.TemporaryDirectory(prefix="manman") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as received,
    ):
        path = str(Path(folder) / "notify")
        received.settimeout(5)
        received.bind(path if request.param == "path" else f"\0{path}")
        yield received, path if request.param == "path" else f"@{path}"


def test_the_service_manager_hears_that_the_start_is_over(
    manager: tuple[socket.socket, str],
) -> None:
    received, name = manager

    SystemdNotifier({"NOTIFY_SOCKET": name}).ready()

    assert received.recv(1024) == b"READY=1"


def test_the_service_manager_hears_each_state(manager: tuple[socket.socket, str]) -> None:
    received, name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": name})

    notifier.state_changed(HostState.RUNNING)
    notifier.state_changed(HostState.LEAVING)

    assert received.recv(1024) == b"STATUS=running"
    assert received.recv(1024) == b"STOPPING=1\nSTATUS=leaving"


def test_a_watchdog_is_fed_twice_in_its_time(manager: tuple[socket.socket, str]) -> None:
    received, name = manager
    notifier = SystemdNotifier(
        {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    )

    notifier.ping_watchdog()

    assert received.recv(1024) == b"WATCHDOG=1"
    assert notifier.watchdog_interval == 15


@pytest.mark.parametrize(
    "watchdog",
    [
        {},
        {"WATCHDOG_USEC": ""},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
def test_no_watchdog_waits_for_us(
    watchdog: dict[str, str], manager: tuple[socket.socket, str]
) -> None:
    received, name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": name, **watchdog})

    notifier.ping_watchdog()
    notifier.ready()

    assert notifier.watchdog_interval == math.inf
    assert received.recv(1024) == b"READY=1"


def test_without_a_service_manager_nothing_happens() -> None:
    notifier = SystemdNotifier({})

    notifier.state_changed(HostState.DETECTING)
    notifier.ready()
    notifier.ping_watchdog()


@pytest.mark.parametrize("name", ["/nowhere/notify", "/" + "a" * 200, "relative", "@"])
def test_a_service_manager_that_is_away_is_no_reason_to_fail(name: str) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": name}).ready()


def test_a_service_manager_that_does_not_read_does_not_hold_us_up_for_long() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="manman") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        path = str(Path(folder) / "notify")
        unread.bind(path)
        filler.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                filler.sendto(b"x", path)
        began = time.monotonic()
        SystemdNotifier({"NOTIFY_SOCKET": path}).ready()

    assert time.monotonic() - began < 3
