import http.client
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from adapters.http.management_server import ManagementServer
from adapters.prometheus.exposition import metrics_page


def test_a_mistake_behind_it_is_a_line_of_the_log_and_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> Sequence[str]:
        raise KeyError("a mistake")

    management_server = ManagementServer("somebody", metrics_page(CollectorRegistry()), fail)
    connection = http.client.HTTPConnection("127.0.0.1", management_server.start("127.0.0.1", 0))
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    management_server.close()

    assert (answer.status, body) == (503, b"not ready: see the log\n")
    assert answer.getheader("Server") == "somebody"
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@contextmanager
def serving(**limits: float) -> Iterator[int]:
    page = metrics_page(CollectorRegistry())
    management_server = ManagementServer("somebody", page, list, **limits)  # type: ignore[arg-type]
    port = management_server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        management_server.close()


def status_of(port: int, path: str = "/healthz") -> int | None:
    """None where the connection is closed without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (http.client.RemoteDisconnected, ConnectionError):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize(
    "sent", ["", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: a"], ids=["nothing", "half", "no end"]
)
@pytest.mark.parametrize("drips", [False, True])
def test_who_does_not_end_a_request_is_cut_off(sent: str, drips: bool) -> None:
    with serving(timeout_seconds=0.3) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(sent.encode())
            if drips:
                with suppress(ConnectionError):
                    for _ in itertools.repeat(None, 200):
                        connection.sendall(b"x")
                        time.sleep(0.05)
                    pytest.fail("it went on for ten seconds")
            else:
                with suppress(ConnectionError):
                    assert b"200" not in connection.recv(1024)
        assert status_of(port) == 200


def test_more_than_so_many_at_once_are_cut_off_and_there_is_room_again() -> None:
    with serving(most_at_once=3) as port:
        with ExitStack() as waiting:
            for _ in range(3):
                waiting.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            assert status_of(port) is None
        deadline = time.monotonic() + 10
        while status_of(port) != 200:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("path", [f"/{'x' * 70_000}", f"/healthz?{'x' * 70_000}"])
def test_a_line_that_is_too_long_is_refused(path: str) -> None:
    with serving() as port:
        assert status_of(port, path) in (414, None)
        assert status_of(port) == 200
