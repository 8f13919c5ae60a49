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
from entrypoints.api.worker import STOP_SIGNALS, cannot_listen, serve_as_child
from entrypoints.management_server import open_side_port
from entrypoints.settings import loopback_address

_log = logging.getLogger(__name__)

_PAUSE_BEFORE_RESTART_SECONDS = 1.0


class Supervisor:
    """Keeps as many processes on the port as settings ask for, until SIGTERM or SIGINT."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._workers: list[SpawnProcess] = []
        self._stopping = threading.Event()
        self._metrics_folder: MultiprocessDir | None = None

    def run(self) -> None:
        for signal_number in STOP_SIGNALS:
            signal.signal(signal_number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with ExitStack() as stack:
            for address in (self._settings.listen_address, self._settings.mutual_tls_address):
                if address:
                    stack.enter_context(self._held_port(address))
            if self._settings.metrics_address:
                self._metrics_folder = _made_folder()
            if self._metrics_folder:
                stack.callback(self._metrics_folder.remove)
            # Whatever ends this, no worker stays behind.
            stack.callback(self._end_workers)
            for _ in range(self._settings.api_workers):
                self._start_worker()
            if self._metrics_folder:
                self._open_side_port(self._metrics_folder.path)
            while self._workers:
                wait([worker.sentinel for worker in self._workers], timeout=0.5)
                self._restart_dead_workers()

    def _held_port(self, address: str) -> socket.socket:
        try:
            return reserve_port(address)
        except CannotListen:
            raise cannot_listen(address, self._settings) from None

    def _open_side_port(self, metrics_folder: str) -> None:
        container = ApiContainer(settings=self._settings)
        container.shared_metrics_folder.override(metrics_folder)
        container.traces.override(NullTracing())
        management_server = container.management_server_for()(
            loopback_address(self._settings.listen_address)
        )
        open_side_port(management_server, self._settings.metrics_address)

    def _start_worker(self) -> None:
        if self._stopping.is_set():
            return
        self._set_metrics_dir()
        worker = multiprocessing.get_context("spawn").Process(
            target=serve_as_child, args=(self._settings,)
        )
        worker.start()
        self._workers.append(worker)
        if self._stopping.is_set():
            # The signal came while it started, too early for it to be among those told.
            worker.terminate()

    def _restart_dead_workers(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive()]:
            worker.join()
            self._workers.remove(worker)
            if self._metrics_folder and worker.pid:
                self._metrics_folder.merge(worker.pid)
            if not self._stopping.is_set():
                _log.error("worker %s ended with %s: starting another", worker.pid, worker.exitcode)
                self._stopping.wait(_PAUSE_BEFORE_RESTART_SECONDS)
                self._start_worker()

    def _set_metrics_dir(self) -> None:
        """For the next worker, which is started with this environment; else it counts alone."""
        os.environ.pop(DIRECTORY_VARIABLE, None)
        if self._metrics_folder:
            try:
                self._metrics_folder.recreate()
            except OSError as error:
                _log.warning(
                    "the folder %s is gone (%s): a worker is missing in /metrics",
                    self._metrics_folder.path,
                    error.strerror,
                )
            else:
                os.environ[DIRECTORY_VARIABLE] = self._metrics_folder.path

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


def _made_folder() -> MultiprocessDir | None:
    try:
        return MultiprocessDir()
    except OSError as error:
        _log.warning(
            "METRICS_ADDRESS: /metrics, /healthz and /readyz are not served, because no temporary"
            " folder can be made for what API_WORKERS count (%s): mend TMPDIR",
            error.strerror,
        )
        return None
