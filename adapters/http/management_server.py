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

# From the connection to the last byte. No scraper or probe is slower, and a slower client must not
# occupy a thread.
_TIMEOUT_SECONDS = 10.0
# Scrapers and probes are few.
_MAX_CONCURRENT = 20


class CannotBind(Exception):
    """Another process has the port, or the address does not belong to this machine."""


class ManagementServer:
    """Serves /metrics, /healthz and /readyz over HTTP to scrapers and probes, on its own threads.

    /healthz says that the process runs, /readyz whether it can do its work: `readiness` returns
    the problems within a few seconds, one sentence for each, and nothing if there are none.
    `owner` is the value of the header Server. A request that takes longer than `timeout_seconds`
    is cut off, and a connection beyond `max_concurrent` is closed.
    """

    def __init__(
        self,
        owner: str,
        metrics: WSGIApplication,
        readiness: Callable[[], Sequence[str]],
        *,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        max_concurrent: int = _MAX_CONCURRENT,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_concurrent = max_concurrent
        self._owner = owner
        self._metrics = metrics
        self._readiness = readiness
        self._server: _Server | None = None

    def start(self, host: str, port: int) -> int:
        """Start to serve, and return the port. Raises CannotBind."""
        try:
            self._server = _Server(
                (host, port), self._answer, self._timeout_seconds, self._max_concurrent
            )
        except OSError:
            raise CannotBind from None
        threading.Thread(
            target=self._server.serve_forever, name="management server", daemon=True
        ).start()
        return self._server.server_port

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            if (request["REQUEST_METHOD"], request["PATH_INFO"]) == ("GET", "/metrics"):
                return self._metrics(request, start)
            status, text = self._health(request["REQUEST_METHOD"], request["PATH_INFO"])
        except Exception:  # noqa: BLE001 - scrapers and probes get an answer after any error
            _log.exception("the management server failed: this is a bug, please report it")
            status, text = HTTPStatus.SERVICE_UNAVAILABLE, "not ready: see the log"
        content_type = ("Content-Type", "text/plain; charset=utf-8")
        start(f"{status.value} {status.phrase}", [content_type, ("Server", self._owner)])
        return [f"{text}\n".encode()]

    def _health(self, method: str, path: str) -> tuple[HTTPStatus, str]:
        if method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, "use GET"
        if path == "/healthz":
            return HTTPStatus.OK, "ok"
        if path != "/readyz":
            return HTTPStatus.NOT_FOUND, "the paths are /metrics, /healthz and /readyz"
        problems = self._readiness()
        if problems:
            lines = "\n".join(f"not ready: {problem}" for problem in problems)
            return HTTPStatus.SERVICE_UNAVAILABLE, lines
        return HTTPStatus.OK, "ready"


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Requests of scrapers and probes are not logged."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # A thread that waits for a store must not delay the end of the process.
    block_on_close = False

    def __init__(
        self,
        address: tuple[str, int],
        answer: WSGIApplication,
        timeout_seconds: float,
        max_concurrent: int,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._free_slots = threading.BoundedSemaphore(max_concurrent)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.set_app(answer)

    def server_bind(self) -> None:
        # Not that of HTTPServer, which resolves the name of the address.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free_slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # One timeout for the whole request: a timeout of the socket would start again at each byte.
        timeout = threading.Timer(self._timeout_seconds, _disconnect, [request])
        timeout.daemon = True
        timeout.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            timeout.cancel()
            self._free_slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that disconnects is not logged."""


def _disconnect(connection: socket.socket) -> None:
    # The connection may be closed already.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
