import logging
import multiprocessing
import os
import signal
import socket
import threading
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory

from adapters.opentelemetry.no_traces import NoTraces
from adapters.prometheus.exposition import forget_process
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import ApiSettings
from entrypoints.api.worker import STOP_SIGNALS, cannot_listen, serve_as_child
from entrypoints.settings import reached_at, split_address
from entrypoints.side_port import open_side_port

_log = logging.getLogger(__name__)

_PAUSE_BEFORE_RESTART_SECONDS = 1.0


class Supervisor:
    """Keeps as many processes on the port as settings ask for, until SIGTERM or SIGINT."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._workers: list[SpawnProcess] = []
        self._stopping = threading.Event()
        self._metrics_folder = ""

    def run(self) -> None:
        for signal_number in STOP_SIGNALS:
            signal.signal(signal_number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with (
            _reserved(self._settings.listen_address),
            TemporaryDirectory(prefix="manmanv2-metrics-") as self._metrics_folder,
        ):
            # For the workers, which are started with this environment.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = self._metrics_folder
            for _ in range(self._settings.api_workers):
                self._start_worker()
            self._open_side_port()
            while self._workers:
                wait([worker.sentinel for worker in self._workers], timeout=0.5)
                self._replace_the_dead()

    def _open_side_port(self) -> None:
        if not self._settings.metrics_address:
            return
        container = ApiContainer(settings=self._settings)
        container.shared_metrics_folder.override(self._metrics_folder)
        container.traces.override(NoTraces())
        side_port = container.side_port(reached_at(self._settings.listen_address))
        open_side_port(side_port, self._settings.metrics_address)

    def _start_worker(self) -> None:
        if self._stopping.is_set():
            return
        worker = multiprocessing.get_context("spawn").Process(
            target=serve_as_child, args=(self._settings,)
        )
        worker.start()
        self._workers.append(worker)
        if self._stopping.is_set():
            # The signal came while it started, too early for it to be among those told.
            worker.terminate()

    def _replace_the_dead(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive()]:
            worker.join()
            self._workers.remove(worker)
            assert worker.pid
            forget_process(worker.pid, self._metrics_folder)
            if not self._stopping.is_set():
                _log.error("worker %s ended with %s: starting another", worker.pid, worker.exitcode)
                self._stopping.wait(_PAUSE_BEFORE_RESTART_SECONDS)
                self._start_worker()

    def _stop(self, *_: object) -> None:
        self._stopping.set()
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()


def _reserved(address: str) -> socket.socket:
    """A socket that holds the port for the workers without taking connections.

    Bound alone first: else another program that shares its port would take part of our calls.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as alone:
            # Connections of a past run that linger are no listener.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
        holder = socket.socket(family)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError:
        raise cannot_listen(address) from None
    return holder
