import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger(__name__)

# Nobody who watches is slower, from connecting to the last byte; who is must not keep a thread.
_TIMEOUT_SECONDS = 10.0
# Scrapers and probes are few.
_MAX_CONCURRENT = 20


class CannotBind(Exception):
    """Somebody else has the port, or the address is not of this machine."""


class ManagementServer:
    """/metrics, /healthz and /readyz over HTTP, on threads of its own.

    /healthz says that the process works at all, /readyz whether it can do its work: `readiness`
    answers why not, a sentence each, within a few seconds. `owner` is whom it tells of, in the
    header Server. Who takes longer than patience is cut off, and so is who comes while so many are
    being answered.
    """

    def __init__(
        self,
        owner: str,
        metrics: WSGIApplication,
        readiness: Callable[[], Sequence[str]],
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        most_at_once: int = _MAX_CONCURRENT,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._most_at_once = most_at_once
        self._owner = owner
        self._metrics = metrics
        self._readiness = readiness
        self._server: _Server | None = None

    def start(self, host: str, port: int) -> int:
        """Serve; returns the port. Raises CannotBind."""
        try:
            self._server = _Server(
                (host, port), self._answer, self._timeout_seconds, self._most_at_once
            )
        except OSError:
            raise CannotBind from None
        threading.Thread(target=self._server.serve_forever, name="side port", daemon=True).start()
        return self._server.server_port

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            if (request["REQUEST_METHOD"], request["PATH_INFO"]) == ("GET", "/metrics"):
                return self._metrics(request, start)
            status, text = self._said(request["REQUEST_METHOD"], request["PATH_INFO"])
        except Exception:  # noqa: BLE001 - whatever it is, who watches is told that something is
            _log.exception("the side port failed: this is a mistake in it, please report it")
            status, text = HTTPStatus.SERVICE_UNAVAILABLE, "not ready: see the log"
        kind = ("Content-Type", "text/plain; charset=utf-8")
        start(f"{status.value} {status.phrase}", [kind, ("Server", self._owner)])
        return [f"{text}\n".encode()]

    def _said(self, method: str, path: str) -> tuple[HTTPStatus, str]:
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, "only GET"
        if path == "/healthz":
            return HTTPStatus.OK, "ok"
        if path != "/readyz":
            return HTTPStatus.NOT_FOUND, "here are /metrics, /healthz and /readyz"
        why_not = self._readiness()
        if why_not:
            lines = "\n".join(f"not ready: {reason}" for reason in why_not)
            return HTTPStatus.SERVICE_UNAVAILABLE, lines
        return HTTPStatus.OK, "ready"


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Who looks is not worth a line."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # A thread that waits for a store must not hold up the end.
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        answer: WSGIApplication,
        timeout_seconds: float,
        most_at_once: int,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._places = threading.BoundedSemaphore(most_at_once)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.set_app(answer)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for the address.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # By all of it, and not by each byte.
        cut_off = threading.Timer(self._timeout_seconds, _hang_up, [request])
        cut_off.daemon = True
        cut_off.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            cut_off.cancel()
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One who hangs up is not worth a line."""


def _hang_up(connection: socket.socket) -> None:
    # It may be closed already.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
