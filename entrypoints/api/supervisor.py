import logging
import multiprocessing
import os
import signal
import socket
import threading
from contextlib import ExitStack
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from adapters.grpc.server.port_reservation import CannotListen, reserve_port
from adapters.opentelemetry.null_tracing import NullTracing
from adapters.prometheus.multiprocess_dir import DIRECTORY_VARIABLE, MultiprocessDir
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import ApiSettings
from entrypoints.api.worker import STOP_SIGNALS, cannot_listen, serve_as_worker
from entrypoints.management_server import start_management_server
from entrypoints.settings import loopback_address

_log = logging.getLogger(__name__)

_RESTART_DELAY_SECONDS = 1.0


def make_management_container(settings: ApiSettings, metrics_dir: str) -> ApiContainer:
    """For the supervisor, which serves the metrics of all workers and does not trace."""
    container = ApiContainer(settings=settings)
    container.shared_metrics_dir.override(metrics_dir)
    container.traces.override(NullTracing())
    return container


class Supervisor:
    """Runs API_WORKERS processes on the same port until SIGTERM or SIGINT."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._workers: list[SpawnProcess] = []
        self._stopping = threading.Event()
        self._metrics_dir: MultiprocessDir | None = None

    def run(self) -> None:
        for signal_number in STOP_SIGNALS:
            signal.signal(signal_number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with ExitStack() as stack:
            for address in (self._settings.listen_address, self._settings.mutual_tls_address):
                if address:
                    stack.enter_context(self._reserve(address))
            if self._settings.metrics_address:
                self._metrics_dir = _make_metrics_dir()
            if self._metrics_dir:
                stack.callback(self._metrics_dir.remove)
            # However this ends, no worker stays behind.
            stack.callback(self._end_workers)
            for _ in range(self._settings.api_workers):
                self._start_worker()
            if self._metrics_dir:
                self._start_management_server(self._metrics_dir.path)
            while self._workers:
                wait([worker.sentinel for worker in self._workers], timeout=0.5)
                self._restart_dead_workers()

    def _reserve(self, address: str) -> socket.socket:
        try:
            return reserve_port(address)
        except CannotListen:
            raise cannot_listen(address, self._settings) from None

    def _start_management_server(self, metrics_dir: str) -> None:
        container = make_management_container(self._settings, metrics_dir)
        management_server = container.management_server_for()(
            loopback_address(self._settings.listen_address)
        )
        start_management_server(management_server, self._settings.metrics_address)

    def _start_worker(self) -> None:
        if self._stopping.is_set():
            return
        self._set_metrics_dir()
        worker = multiprocessing.get_context("spawn").Process(
            target=serve_as_worker, args=(self._settings,)
        )
        worker.start()
        self._workers.append(worker)
        if self._stopping.is_set():
            # The signal came while this worker started, before it was in the list.
            worker.terminate()

    def _restart_dead_workers(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive()]:
            worker.join()
            self._workers.remove(worker)
            if self._metrics_dir and worker.pid:
                self._metrics_dir.merge(worker.pid)
            if not self._stopping.is_set():
                _log.error(
                    "Worker %s ended with exit code %s: starting another",
                    worker.pid,
                    worker.exitcode,
                )
                self._stopping.wait(_RESTART_DELAY_SECONDS)
                self._start_worker()

    def _set_metrics_dir(self) -> None:
        """Set where the next worker, which inherits this environment, keeps its metrics. Without
        this, /metrics does not include that worker."""
        os.environ.pop(DIRECTORY_VARIABLE, None)
        if self._metrics_dir:
            try:
                self._metrics_dir.recreate()
            except OSError as error:
                _log.warning(
                    "The directory %s is gone (%s): /metrics does not include the next worker",
                    self._metrics_dir.path,
                    error.strerror,
                )
            else:
                os.environ[DIRECTORY_VARIABLE] = self._metrics_dir.path

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()

    def _stop(self, *_: object) -> None:
        self._stopping.set()
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()


def _make_metrics_dir() -> MultiprocessDir | None:
    try:
        return MultiprocessDir()
    except OSError as error:
        _log.warning(
            "METRICS_ADDRESS: /metrics, /healthz and /readyz are not served, because no temporary"
            " directory can be created for the metrics of the API_WORKERS (%s): fix TMPDIR",
            error.strerror,
        )
        return None
