"""Our commands as real processes."""

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

PATIENCE_SECONDS = 30.0


def run_to_end(
    command: str, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run one of our commands until it ends by itself."""
    environment = _environment(variables)
    fork_server = _fork_server_for(command, environment)
    if fork_server:
        forked = fork_server.start(command, *arguments, environment=environment, with_stdin=True)
        said = forked.communicate(stdin, PATIENCE_SECONDS)
        ended = subprocess.CompletedProcess(command, forked.wait(0), *said)
    else:
        ended = subprocess.run(
            [_path(command), *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    leak_detector.check(f"on stdout of {command}", ended.stdout)
    leak_detector.check(f"on stderr of {command}", ended.stderr)
    return ended


def printed_by(api: Api, *arguments: str, stdin: str = "") -> str:
    """What the operator's command prints, which succeeds."""
    ended = run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def outcome_of(api: Api, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The exit code of the operator's command, and what it prints wherever."""
    ended = run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=api.address)
    return ended.returncode, ended.stdout + ended.stderr


def json_from(api: Api, *arguments: str, stdin: str = "") -> Any:
    """What the operator's command tells to programs, and nothing else."""
    ended = run_to_end("manmanv2", *arguments, "-o", "json", stdin=stdin, API_ADDRESS=api.address)
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


class Process:
    """One of our commands while it runs, with the lines of its log."""

    def __init__(self, command: str, *arguments: str, **variables: str) -> None:
        self.command = command
        self.events: list[dict[str, Any]] = []
        self._popen = _started(command, *arguments, environment=_environment(variables))
        self._readers = [
            threading.Thread(target=read) for read in (self._read_log, self._read_what_is_printed)
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def said(self, part: str) -> bool:
        return any(part in event["event"] for event in self.events)

    def count(self, part: str) -> int:
        return sum(part in event["event"] for event in self.events)

    def wait_until_said(self, part: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The line that holds the part."""
        eventually(
            lambda: self.said(part) or not self.running,
            f"{self.command} to say {part!r}",
            self,
            seconds=seconds,
        )
        return next(str(event["event"]) for event in self.events if part in event["event"])

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self._popen.terminate()
        return self.wait()

    def interrupt(self) -> int:
        self._popen.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        exit_code = self._popen.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join()
        return exit_code

    def kill(self) -> None:
        """SIGKILL to it and to whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self.wait()

    def _read_what_is_printed(self) -> None:
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
    """`manmanv2-api`; the same address again for a second start with `address`."""

    def __init__(self, database_url: str, address: str = "127.0.0.1:0", **variables: str) -> None:
        super().__init__(
            "manmanv2-api", DATABASE_URL=database_url, LISTEN_ADDRESS=address, **variables
        )
        serving = self.wait_until_said("Serving on")
        self.address = serving.removeprefix("Serving on ")


class _Witness(grpc.UnaryUnaryClientInterceptor):
    """Looks at each answer, and at each refusal with its details."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = continuation(details, request)
        call.add_done_callback(partial(self._look_at, details.method))
        return call

    def _look_at(self, method: str, call: Any) -> None:
        said = (call.details(), call.initial_metadata(), call.trailing_metadata())
        leak_detector.check(f"in the answer to {method}", said)
        if call.code() is grpc.StatusCode.OK:
            answer = call.result()
            leak_detector.check(
                f"in the answer to {method}", answer, but_for=(DOCUMENT, CREDENTIAL)
            )


@contextmanager
def client(address: str) -> Iterator[ManManAPIStub]:
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_SECONDS)
        yield ManManAPIStub(grpc.intercept_channel(channel, _Witness()))


def servers(address: str) -> dict[str, pb.Server]:
    """All servers that the API lists, by name."""
    found: dict[str, pb.Server] = {}
    with client(address) as api:
        token = ""
        while True:
            page = api.ListServers(pb.ListServersRequest(page_size=100, page_token=token))
            found.update((server.name, server) for server in page.servers)
            token = page.next_page_token
            if not token:
                return found


def free_address() -> str:
    """For a process that must be told its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def eventually(
    found: Callable[[], T | None], what: str, *processes: Process, seconds: float = PATIENCE_SECONDS
) -> T:
    """The first truthy answer; fails with what the processes said when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
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
        # What ends a process must end what it started too.
        start_new_session=True,
    )


# They decide what is loaded, so the command must load it itself.
_DECIDES_WHAT_IS_LOADED = ("PYTHON", "LD_", "MANMANV2_")
# Read only while the libraries are loaded.
_READ_BY_LOADING = ("GRPC_", "OTEL_")
# Read whenever a span or an exporter is made.
_READ_LATER = ("OTEL_EXPORTER_", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")
# Set by a test that is about the start itself.
starts_cold = ContextVar("starts_cold", default=False)
_times_asked: Counter[frozenset[tuple[str, str]]] = Counter()


def _fork_server_for(command: str, environment: dict[str, str]) -> ForkServer | None:
    """The one that was loaded with these variables. None if the command must be executed: a fork
    server costs more than one start, so the first of its kind is executed."""
    if command not in COMMANDS or starts_cold.get():
        return None
    if any(name.startswith(_DECIDES_WHAT_IS_LOADED) for name in environment):
        return None
    read_by_loading = frozenset(
        (name, value)
        for name, value in environment.items()
        if name.startswith(_READ_BY_LOADING) and not name.startswith(_READ_LATER)
    )
    _times_asked[read_by_loading] += 1
    if read_by_loading and _times_asked[read_by_loading] == 1:
        return None
    return _fork_server(read_by_loading)


@cache
def _fork_server(read_by_loading: frozenset[tuple[str, str]]) -> ForkServer:
    return ForkServer(dict(read_by_loading))


def _path(command: str) -> str:
    return str(Path(sys.executable).parent / command)


def _environment(variables: dict[str, str]) -> dict[str, str]:
    """Nothing of ours leaks in: only what the test says."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "LOG_FORMAT": "json", "METRICS_ADDRESS": "off", **variables}
