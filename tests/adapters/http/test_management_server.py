import http.client
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from adapters.http.management_server import ManagementServer
from adapters.prometheus.exposition import metrics_page


def test_an_error_of_the_readiness_check_is_logged_and_means_not_ready(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> Sequence[str]:
        raise KeyError("a bug")

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
    """None if the connection is closed without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (http.client.RemoteDisconnected, ConnectionError):
        return None
    finally:
        connection.close()


def wait_until_served(port: int) -> None:
    """On a busy machine, the timeout under test may cut off a good request too."""
    deadline = time.monotonic() + 60
    while status_of(port) != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "sent", ["", "GET /heal", "GET /healthz HTTP/1.1\r\nHost: a"], ids=["nothing", "half", "no end"]
)
@pytest.mark.parametrize("drips", [False, True])
def test_an_unfinished_request_is_cut_off(sent: str, drips: bool) -> None:
    with serving(timeout_seconds=0.3) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(sent.encode())
            if drips:
                with suppress(ConnectionError):
                    for _ in range(1200):
                        connection.sendall(b"x")
                        time.sleep(0.05)
                    pytest.fail("the request went on for a minute")
            else:
                with suppress(ConnectionError):
                    assert b"200" not in connection.recv(1024)
        wait_until_served(port)


def test_connections_beyond_the_maximum_are_closed_until_others_have_ended() -> None:
    with serving(max_concurrent=3) as port:
        with ExitStack() as waiting:
            for _ in range(3):
                waiting.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            assert status_of(port) is None
        wait_until_served(port)


@pytest.mark.parametrize("path", [f"/{'x' * 70_000}", f"/healthz?{'x' * 70_000}"])
def test_a_request_line_that_is_too_long_is_refused(path: str) -> None:
    with serving() as port:
        assert status_of(port, path) in (414, None)
        assert status_of(port) == 200
