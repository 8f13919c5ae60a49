"""Starts our commands as forks of a process that has loaded all they need.

To load Python and the libraries costs a command half a second of CPU, and these tests start a
thousand. What comes of a fork is a process of its own in everything but that: its arguments,
environment, session, streams, signals and exit code. Nor does it take to pieces at its end what was
loaded, which would copy all of it first, and take three quarters of a short command's CPU.
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
# Alembic runs it, and it is nothing to be imported.
_NOT_TO_BE_LOADED = ("adapters.sql.migrations.env", "adapters.sql.migrations.versions")
_MAX_REQUEST_BYTES = 200_000
# What is told of a process, its id and then its exit code. A short one may have ended before the
# first is read.
_WORD_BYTES = 20


class ForkServer:
    """The way to such a process, which ends with this one."""

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
        """As subprocess.Popen of the command would, with pipes, in a session of its own."""
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
    """A process that was forked, as far as subprocess.Popen has it."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, status: int) -> None:
        self.stdin = None if stdin is None else os.fdopen(stdin, "w")
        self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)
        self._status = status
        self.pid = int(os.read(status, _WORD_BYTES))
        self._exit_code: int | None = None
        self._told = threading.Lock()

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
        said = ["", ""]

        def read(stream: IO[str], index: int) -> None:
            with stream:
                said[index] = stream.read()

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
        return said[0], said[1]

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
        # It is told once, whoever waits for it.
        with self._told:
            if self._exit_code is None:
                self._exit_code = int(os.read(self._status, _WORD_BYTES))


def _serve(requests: socket.socket) -> Callable[[], None]:
    """Returns in a child only: what it is to do."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, _nothing)
    to_tell: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                _tell_of_the_dead(to_tell)
            if requests not in ready:
                continue
            body, descriptors, _, _ = socket.recv_fds(requests, _MAX_REQUEST_BYTES, 4)
            if not body:
                _end(to_tell)
            *streams, status = descriptors
            pid = os.fork()
            if not pid:
                break
            to_tell[pid] = status
            for stream in streams:
                os.close(stream)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command, arguments, environment, folder = json.loads(body)
    return _become(command, arguments, environment, folder, streams, status)


def _end(living: Iterable[int]) -> NoReturn:
    """Who asked is gone, perhaps without a word to those it had started."""
    for pid in living:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    sys.exit()


def _tell_of_the_dead(to_tell: dict[int, int]) -> None:
    while to_tell:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        descriptor = to_tell.pop(pid)
        # Who started it may be gone.
        with suppress(BrokenPipeError):
            os.write(descriptor, _word(os.waitstatus_to_exitcode(status)))
        os.close(descriptor)


def _word(number: int) -> bytes:
    return f"{number:{_WORD_BYTES}}".encode()


def _become(
    command: str,
    arguments: list[str],
    environment: dict[str, str],
    folder: str,
    streams: list[int],
    status: int,
) -> Callable[[], None]:
    os.setsid()
    # Only now may somebody end it with all that it starts.
    os.write(status, _word(os.getpid()))
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
    # Python starts workers with what it finds there.
    sys.modules["__main__"] = ModuleType("__main__")
    return importlib.import_module(COMMANDS[command]).main  # type: ignore[no-any-return]


def _run_and_end(main: Callable[[], None]) -> NoReturn:
    """With all that Python does at an exit before it takes to pieces what was loaded."""
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
    """A signal without a handler wakes nobody."""


def _load() -> None:
    for package in map(importlib.import_module, _PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(".__main__") and not found.name.startswith(
                _NOT_TO_BE_LOADED
            ):
                importlib.import_module(found.name)
    for name in _LATE:
        importlib.import_module(name)


_set_by_loading: dict[str, str] = {}

if __name__ == "__main__":
    _before = dict(os.environ)
    _load()
    _set_by_loading.update(os.environ.items() - _before.items())
    # What was loaded is left alone, so that its pages stay shared.
    gc.collect()
    gc.freeze()
    _run_and_end(_serve(socket.socket(fileno=int(sys.argv[1]))))
