"""Records the messages that a client sends to PostgreSQL."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_LENGTH_BYTES = 4
_DEFAULT_PORT = 5432


@contextmanager
def statements_sent(url: str) -> Iterator[tuple[str, list[str]]]:
    """A URL of the same database for one connection, and the statements sent over it.

    Each statement costs a round trip: the server answers it before it is sent the next one.
    """
    parts = urlsplit(url)
    statements: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        relay = threading.Thread(
            target=_relay,
            args=(listener, (parts.hostname, parts.port or _DEFAULT_PORT), statements),
            daemon=True,
        )
        relay.start()
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
        yield parts._replace(netloc=netloc, query="sslmode=disable").geturl(), statements


def _relay(listener: socket.socket, address: tuple[str, int], statements: list[str]) -> None:
    client, _ = listener.accept()
    # Either side may hang up at any time.
    with client, socket.create_connection(address) as server, suppress(OSError):
        answers = threading.Thread(target=_copy, args=(server, client), daemon=True)
        answers.start()
        try:
            _pass_on(client, server, statements)
        finally:
            server.shutdown(socket.SHUT_RDWR)
            answers.join()


def _pass_on(client: socket.socket, server: socket.socket, statements: list[str]) -> None:
    with client.makefile("rb") as received:
        length = received.read(_LENGTH_BYTES)
        server.sendall(length + received.read(int.from_bytes(length) - len(length)))
        while kind := received.read(1):
            length = received.read(_LENGTH_BYTES)
            body = received.read(int.from_bytes(length) - len(length))
            if kind == b"Q":
                statements.append(body.rstrip(b"\0").decode())
            server.sendall(kind + length + body)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
