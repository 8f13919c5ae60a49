"""Fake servers in place of an API or a Docker engine."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import trustme

_INFO = {"Name": "web1", "MemTotal": 16 * 2**30, "NCPU": 8, "ServerVersion": "29.1.2"}


@contextmanager
def engine(path: Path, **info: str) -> Iterator[None]:
    """A Docker engine of eight cores and 16 GiB, on a machine named web1; `info` adds to its
    answer or overrides it."""

    def answer(connection: socket.socket) -> None:
        asks_version = b" /version " in connection.recv(4096)
        answer_body = {"ApiVersion": "1.41"} if asks_version else {**_INFO, **info}
        body = json.dumps(answer_body).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with answering_socket(path, answer):
        yield


@contextmanager
def answering_socket(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with _answering(listener, answer):
            yield
    path.unlink()


@contextmanager
def silent_socket(path: Path) -> Iterator[None]:
    """A Unix socket that accepts connections and never answers, like an engine that hangs."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield
    path.unlink()


@contextmanager
def silent_port() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield _address(listener)


@contextmanager
def port_behind_a_firewall() -> Iterator[str]:
    """An address that never answers a packet: the queue of connections is full."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listener,
        contextlib.ExitStack() as waiting,
    ):
        with contextlib.suppress(TimeoutError):
            while True:
                connection = socket.create_connection(listener.getsockname(), timeout=0.5)
                waiting.enter_context(connection)
        yield _address(listener)


@contextmanager
def port_that_says(greeting: bytes) -> Iterator[str]:
    """The address of a program that sends this greeting, in another protocol."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(greeting)
        connection.recv(4096)

    with _answering_port(answer) as address:
        yield address


@contextmanager
def port_that_hangs_up() -> Iterator[str]:
    with _answering_port(lambda _: None) as address:
        yield address


@contextmanager
def tls_port() -> Iterator[str]:
    """The address of a server that speaks HTTP/2 over TLS, like a proxy before an API."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    context.set_alpn_protocols(["h2"])

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)

    with _answering_port(answer) as address:
        yield address


@contextmanager
def api_with_clock(ahead_seconds: float) -> Iterator[str]:
    """The address of an API that accepts any key and whose clock is wrong."""

    def refuse(code: grpc.StatusCode, _: bytes, context: grpc.ServicerContext) -> bytes:
        server_time = f"{time.time() + ahead_seconds:.3f}"
        context.set_trailing_metadata((("manmanv2-unix-time", server_time),))
        context.abort(code, "refused")

    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    handlers = {
        "RegisterServer": partial(refuse, grpc.StatusCode.INVALID_ARGUMENT),
        "FetchConfiguration": partial(refuse, grpc.StatusCode.NOT_FOUND),
    }
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                "manman.v1.ManManAPI",
                {
                    name: grpc.unary_unary_rpc_method_handler(handler)
                    for name, handler in handlers.items()
                },
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(grace=None).wait()


def _address(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _answering_port(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener, _answering(listener, answer):
        yield _address(listener)


@contextmanager
def _answering(listener: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    listener.listen()

    def serve() -> None:
        # Ends with the listener.
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(ConnectionError):
                    answer(connection)

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
