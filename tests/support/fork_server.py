"""Starts our commands as forks of a process that has loaded all they need.

Loading Python and the libraries costs a command half a second of CPU, and these tests start a
thousand commands. A fork skips that, and otherwise is a process of its own: with its own arguments,
environment, session, streams, signals and exit code. At its end it also skips the tear-down of the
loaded modules, which would copy their memory first and take three quarters of a short command's
CPU.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import IO, NoReturn

from tests.support.repository import ROOT

COMMANDS = {
    "manmanv2": "entrypoints.cli.main",
    "manmanv2-api": "entrypoints.api.main",
    "manmanv2-host": "entrypoints.host.main",
}
_PACKAGES = ("domain", "application", "adapters", "entrypoints", "protos")
# Imported by our modules only when they are needed, which is nearly always here.
_LATE = ("alembic.command", "docker", "grpc.aio", "kombu", "psutil", "psycopg2", "rich.live")
# Only Alembic may run these modules; they cannot be imported.
_NOT_IMPORTABLE = ("adapters.sql.migrations.env", "adapters.sql.migrations.versions")
_MAX_REQUEST_BYTES = 200_000
# The length of a status message: a process's id, and later its exit code. A short process may have
# ended before its id is read.
_STATUS_BYTES = 20


class ForkServer:
    """The client of a fork server, which exits with this process."""

    def __init__(self, read_by_loading: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, **read_by_loading},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self, command: str, *arguments: str, environment: dict[str, str], with_stdin: bool = False
    ) -> Forked:
        """Start the command like subprocess.Popen would, with pipes, in a session of its own."""
        if with_stdin:
            stdin, to_stdin = os.pipe()
        else:
            stdin, to_stdin = os.open(os.devnull, os.O_RDONLY), None
        from_stdout, stdout = os.pipe()
        from_stderr, stderr = os.pipe()
        from_status, status = os.pipe()
        request = json.dumps([command, arguments, environment, str(Path.cwd())]).encode()
        theirs = [stdin, stdout, stderr, status]
        socket.send_fds(self._socket, [request], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        return Forked(to_stdin, from_stdout, from_stderr, from_status)


class Forked:
    """A forked process with the part of subprocess.Popen's interface that tests use."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, status: int) -> None:
        self.stdin = None if stdin is None else os.fdopen(stdin, "w")
        self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)
        self._status = status
        self.pid = int(os.read(status, _STATUS_BYTES))
        self._exit_code: int | None = None
        self._exit_code_lock = threading.Lock()

    def __del__(self) -> None:
        os.close(self._status)

    def poll(self) -> int | None:
        return self._exit_code_within(0)

    def wait(self, seconds: float) -> int:
        exit_code = self._exit_code_within(seconds)
        if exit_code is None:
            raise subprocess.TimeoutExpired(str(self.pid), seconds)
        return exit_code

    def communicate(self, stdin: str, seconds: float) -> tuple[str, str]:
        output = ["", ""]

        def read(stream: IO[str], index: int) -> None:
            with stream:
                output[index] = stream.read()

        readers = [
            threading.Thread(target=read, args=(stream, index))
            for index, stream in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        if self.stdin:
            with suppress(BrokenPipeError), self.stdin:
                self.stdin.write(stdin)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            raise
        finally:
            for reader in readers:
                reader.join()
        return output[0], output[1]

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _exit_code_within(self, seconds: float) -> int | None:
        if self._exit_code is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if selector.select(seconds):
                    self._take_exit_code()
        return self._exit_code

    def _take_exit_code(self) -> None:
        # The exit code is sent once, and several threads may wait for it.
        with self._exit_code_lock:
            if self._exit_code is None:
                self._exit_code = int(os.read(self._status, _STATUS_BYTES))


def _serve(requests: socket.socket) -> Callable[[], None]:
    """Fork a child per request. Returns only in the children: the function that they must run."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _nothing)
    statuses: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                _report_exit_codes(statuses)
            if requests not in ready:
                continue
            body, descriptors, _, _ = socket.recv_fds(requests, _MAX_REQUEST_BYTES, 4)
            if not body:
                _end(statuses)
            *streams, status = descriptors
            pid = os.fork()
            if not pid:
                break
            statuses[pid] = status
            for stream in streams:
                os.close(stream)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command, arguments, environment, folder = json.loads(body)
    return _become(command, arguments, environment, folder, streams, status)


def _end(living: Iterable[int]) -> NoReturn:
    """The client is gone, and may have left processes that it started."""
    for pid in living:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    sys.exit()


def _report_exit_codes(statuses: dict[int, int]) -> None:
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = statuses.pop(pid)
        # The client may be gone.
        with suppress(BrokenPipeError):
            os.write(descriptor, _status_message(os.waitstatus_to_exitcode(status)))
        os.close(descriptor)


def _status_message(number: int) -> bytes:
    return f"{number:{_STATUS_BYTES}}".encode()


def _become(
    command: str,
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    streams: list[int],
    status: int,
) -> Callable[[], None]:
    os.setsid()
    # Only now can the client kill the process together with its children.
    os.write(status, _status_message(os.getpid()))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(_set_by_loading | environment)
    time.tzset()
    sys.argv = [command, *arguments]
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    # multiprocessing reads this module when it starts workers.
    sys.modules["__main__"] = ModuleType("__main__")
    return importlib.import_module(COMMANDS[command]).main  # type: ignore[no-any-return]


def _run_and_end(main: Callable[[], None]) -> NoReturn:
    """Run `main` and exit like Python does, but without tearing down the loaded modules."""
    try:
        main()
    except SystemExit as end:
        exit_code = end.code or 0
        if not isinstance(exit_code, int):
            raise
    else:
        exit_code = 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _nothing(number: int, frame: FrameType | None) -> None:
    """An empty handler: without one, the signal would not write to the wake-up file descriptor."""


def _load() -> None:
    for package in map(importlib.import_module, _PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__") and not module.name.startswith(
                _NOT_IMPORTABLE
            ):
                importlib.import_module(module.name)
    for name in _LATE:
        importlib.import_module(name)


_set_by_loading: dict[str, str] = {}

if __name__ == "__main__":
    _before = dict(os.environ)
    _load()
    _set_by_loading.update(os.environ.items() - _before.items())
    # Freeze the loaded objects, so that the collector leaves their memory pages shared.
    gc.collect()
    gc.freeze()
    _run_and_end(_serve(socket.socket(fileno=int(sys.argv[1]))))
