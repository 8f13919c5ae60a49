import contextlib
import math
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.system.notifier import SystemdNotifier
from domain.host_state import HostState


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """The socket of the service manager, and its name in NOTIFY_SOCKET."""
    with (
        tempfile.TemporaryDirectory(prefix="manman") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as received,
    ):
        path = str(Path(folder) / "notify")
        received.settimeout(60)
        received.bind(path if request.param == "path" else f"\0{path}")
        yield received, path if request.param == "path" else f"@{path}"


def test_the_service_manager_is_notified_of_the_end_of_the_start(
    manager: tuple[socket.socket, str],
) -> None:
    received, name = manager

    SystemdNotifier({"NOTIFY_SOCKET": name}).ready()

    assert received.recv(1024) == b"READY=1"


def test_the_service_manager_is_notified_of_each_state(manager: tuple[socket.socket, str]) -> None:
    received, name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": name})

    notifier.state_changed(HostState.RUNNING)
    notifier.state_changed(HostState.LEAVING)

    assert received.recv(1024) == b"STATUS=running"
    assert received.recv(1024) == b"STOPPING=1\nSTATUS=leaving"


def test_the_watchdog_is_pinged_twice_in_its_period(manager: tuple[socket.socket, str]) -> None:
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
def test_without_a_watchdog_nothing_is_pinged(
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
def test_a_missing_service_manager_is_not_an_error(name: str) -> None:
    SystemdNotifier({"NOTIFY_SOCKET": name}).ready()


def test_a_service_manager_that_does_not_read_does_not_block_the_host() -> None:
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
        notifier = SystemdNotifier({"NOTIFY_SOCKET": path})
        notification = threading.Thread(target=notifier.ready, daemon=True)
        notification.start()
        notification.join(60)

        assert not notification.is_alive()
