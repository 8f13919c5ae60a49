"""Runs our commands as real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import grpc

from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import CREDENTIAL, DOCUMENT, leak_detector
from tests.support.fork_server import COMMANDS, Forked, ForkServer

T = TypeVar("T")

TIMEOUT_SECONDS = 120.0


def run_to_end(
    command: str, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of our commands until it exits."""
    environment = _environment(variables)
    fork_server = _fork_server_for(command, environment)
    if fork_server:
        forked = fork_server.start(command, *arguments, environment=environment, with_stdin=True)
        output = forked.communicate(stdin, TIMEOUT_SECONDS)
        ended = subprocess.CompletedProcess(command, forked.wait(0), *output)
    else:
        ended = subprocess.run(
            [_path(command), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    leak_detector.check(f"on stdout of {command}", ended.stdout)
    leak_detector.check(f"on stderr of {command}", ended.stderr)
    return ended


def printed_by(api: Api, *arguments: str, stdin: str = "") -> str:
    """The stdout of an operator command that must exit with 0."""
    ended = run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def outcome_of(api: Api, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The exit code of an operator command, and its stdout followed by its stderr."""
    ended = run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address)
    return ended.returncode, ended.stdout + ended.stderr


def json_from(api: Api, *arguments: str, stdin: str = "") -> Any:
    """The parsed `-o json` output of an operator command that must print nothing else."""
    ended = run_to_end("manmanv2", *arguments, "-o", "json", stdin=stdin, API_ADDRESS=api.address)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


class Process:
    """One of our commands as a running process; `events` are the lines of its log."""

    def __init__(self, command: str, *arguments: str, **variables: str) -> None:
        self.command = command
        self.events: list[dict[str, Any]] = []
        self._popen = _started(command, *arguments, environment=_environment(variables))
        self._readers = [
            threading.Thread(target=read) for read in (self._read_log, self._read_stdout)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def logged(self, part: str) -> bool:
        return any(part in event["event"] for event in self.events)

    def count(self, part: str) -> int:
        return sum(part in event["event"] for event in self.events)

    def wait_until_logged(self, part: str, seconds: float = TIMEOUT_SECONDS) -> str:
        """Return the first log line that contains the part."""
        eventually(
            lambda: self.logged(part) or not self.running,
            f"{self.command} to log {part!r}",
            self,
            seconds=seconds,
        )
        return next(str(event["event"]) for event in self.events if part in event["event"])

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self._popen.terminate()
        return self.wait()

    def interrupt(self) -> int:
        """Send SIGINT and return the exit code."""
        self._popen.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        exit_code = self._popen.wait(TIMEOUT_SECONDS)
        for reader in self._readers:
            reader.join()
        return exit_code

    def kill(self) -> None:
        """Send SIGKILL to the process and to every process that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self.wait()

    def _read_stdout(self) -> None:
        assert self._popen.stdout
        with self._popen.stdout:
            for line in self._popen.stdout:
                leak_detector.check(f"on stdout of {self.command}", line)

    def _read_log(self) -> None:
        assert self._popen.stderr
        with self._popen.stderr:
            for line in self._popen.stderr:
                leak_detector.check(f"on stderr of {self.command}", line)
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.events.append({"event": line.rstrip(), "level": "not a log line"})


class Api(Process):
    """`manmanv2-api`. Pass the `address` of an earlier one to start again on its port."""

    def __init__(self, database_url: str, address: str = "127.0.0.1:0", **variables: str) -> None:
        super().__init__(
            "manmanv2-api", DATABASE_URL=database_url, LISTEN_ADDRESS=address, **variables
        )
        serving = self.wait_until_logged("Serving on")
        self.address = serving.removeprefix("Serving on ")


class _LeakInterceptor(grpc.UnaryUnaryClientInterceptor):
    """Checks every response and every error, with its metadata, for leaked secrets."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = continuation(details, request)
        call.add_done_callback(partial(self._check, details.method))
        return call

    def _check(self, method: str, call: Any) -> None:
        status = (call.details(), call.initial_metadata(), call.trailing_metadata())
        leak_detector.check(f"in the response to {method}", status)
        if call.code() is grpc.StatusCode.OK:
            response = call.result()
            leak_detector.check(
                f"in the response to {method}", response, allowed=(DOCUMENT, CREDENTIAL)
            )


@contextmanager
def client(address: str) -> Iterator[ManManAPIStub]:
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=TIMEOUT_SECONDS)
        yield ManManAPIStub(grpc.intercept_channel(channel, _LeakInterceptor()))


def servers(address: str) -> dict[str, pb.Server]:
    """All servers that the API lists, by name."""
    by_name: dict[str, pb.Server] = {}
    with client(address) as api:
        token = ""
        while True:
            page = api.ListServers(pb.ListServersRequest(page_size=100, page_token=token))
            by_name.update((server.name, server) for server in page.servers)
            token = page.next_page_token
            if not token:
                return by_name


def free_address() -> str:
    """A loopback address with a port that is free now, for a process whose port must be set."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def eventually(
    condition: Callable[[], T | None],
    what: str,
    *processes: Process,
    seconds: float = TIMEOUT_SECONDS,
) -> T:
    """Return the first truthy result of `condition`. Raise AssertionError with the logs of the
    processes if there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    logs = "\n".join(str(event) for process in processes for event in process.events)
    raise AssertionError(f"waited {seconds:.0f} s for {what}\n{logs}")


def _started(
    command: str, *arguments: str, environment: dict[str, str]
) -> Forked | subprocess.Popen[str]:
    fork_server = _fork_server_for(command, environment)
    if fork_server:
        return fork_server.start(command, *arguments, environment=environment)
    return subprocess.Popen(
        [_path(command), *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whatever ends this process must also end the processes that it started.
        start_new_session=True,
    )


# These variables decide which modules are loaded, so the command must load them itself.
_AFFECTS_LOADING = ("PYTHON", "LD_", "MANMANV2_")
# Libraries read these variables only while they are loaded. OpenTelemetry reads its others later.
_READ_WHILE_LOADING = ("GRPC_", "OTEL_PYTHON_CONTEXT", "OTEL_PROPAGATORS")
# Loading a fork server costs about as much as this many starts.
_STARTS_WORTH_A_FORK_SERVER = 4
# Set for tests marked cold_start, which test the start of the command itself.
starts_cold = ContextVar("starts_cold", default=False)
_starts_by_variables: Counter[frozenset[tuple[str, str]]] = Counter()


def _fork_server_for(command: str, environment: dict[str, str]) -> ForkServer | None:
    """The fork server loaded with these variables; None if the command must be executed."""
    if command not in COMMANDS or starts_cold.get():
        return None
    if any(name.startswith(_AFFECTS_LOADING) for name in environment):
        return None
    loading_variables = frozenset(
        (name, value) for name, value in environment.items() if name.startswith(_READ_WHILE_LOADING)
    )
    _starts_by_variables[loading_variables] += 1
    if loading_variables and _starts_by_variables[loading_variables] < _STARTS_WORTH_A_FORK_SERVER:
        return None
    return _fork_server(loading_variables)


@cache
def _fork_server(loading_variables: frozenset[tuple[str, str]]) -> ForkServer:
    return ForkServer(dict(loading_variables))


def _path(command: str) -> str:
    return str(Path(sys.executable).parent / command)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """The variables that the test passes, and nothing else of this process's environment."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**inherited, "LOG_FORMAT": "json", "METRICS_ADDRESS": "off", **variables}
