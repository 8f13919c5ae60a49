"""The load over gRPC: h2load, with one process, connection and stream per simulated host."""

import re
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.server_process import ServerProcess
from tests.benchmarks.wire import HEARTBEAT_PATH, REPLY_BYTES, request_body

# h2load itself sets no deadline for a call.
_TIMEOUT_SECONDS = 120

_ESTABLISHED = "01"


class WrongReplies(Exception):
    """The server answered heartbeats with something other than an acknowledgement."""


class NeverAllAtOnce(Exception):
    """There was no time in which all hosts were sending: too few heartbeats per host, or a busy
    machine."""

    def __init__(self) -> None:
        super().__init__("one host finished before another one began: use more --heartbeats")


@dataclass(frozen=True)
class Load:
    """The measurements of the load generator. The rate covers the time in which all hosts were
    sending: after the last host began and before the first one finished.
    """

    heartbeats: int
    per_second: float
    latencies_ms: list[float]
    generator_cpu_seconds: float


@dataclass(frozen=True)
class _Call:
    began_us: int
    ended_us: int


def run_load(server: ServerProcess, server_ids: list[int], heartbeats_per_host: int) -> Load:
    """Each host sends this many heartbeats, each one when the previous one is answered.

    Raises WrongReplies and NeverAllAtOnce.
    """
    used_before = _cpu_of_ended_children()
    with tempfile.TemporaryDirectory(prefix="manman-load-") as folder:
        logs = [Path(folder, f"{server_id}.log") for server_id in server_ids]
        commands = []
        for server_id, log in zip(server_ids, logs, strict=True):
            body = Path(folder, f"{server_id}.body")
            body.write_bytes(request_body(server_id))
            commands.append(_command(server.port, heartbeats_per_host, body, log))
        _run_all(commands, server, heartbeats_per_host)
        # The first call of each host waited for the start.
        hosts = [_calls(log)[1:] for log in logs]
    began = max(calls[0].began_us for calls in hosts)
    ended = min(calls[-1].ended_us for calls in hosts)
    if ended <= began:
        raise NeverAllAtOnce
    calls = [call for host in hosts for call in host]
    return Load(
        heartbeats=len(server_ids) * heartbeats_per_host,
        per_second=sum(began < call.ended_us <= ended for call in calls) / (ended - began) * 1e6,
        latencies_ms=[(call.ended_us - call.began_us) / 1000 for call in calls],
        generator_cpu_seconds=_cpu_of_ended_children() - used_before,
    )


def _command(port: int, heartbeats: int, body: Path, log: Path) -> list[str]:
    return [
        *("h2load", "--clients=1", "--max-concurrent-streams=1", f"--requests={heartbeats}"),
        *("--header=content-type: application/grpc", "--header=te: trailers"),
        *(f"--data={body}", f"--log-file={log}", f"http://127.0.0.1:{port}{HEARTBEAT_PATH}"),
    ]


def _run_all(commands: list[list[str]], server: ServerProcess, heartbeats_per_host: int) -> None:
    processes: list[subprocess.Popen[str]] = []
    try:
        # Starting all of them takes longer than some would take to finish. The kernel accepts
        # their connections for the paused server, which then gets all of them at once.
        with server.paused():
            for command in commands:
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                processes.append(process)
            _await_connections(server.port, len(commands))
        for process in processes:
            summary, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
            _check(summary, heartbeats_per_host)
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def _await_connections(port: int, connections: int) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while _connections_to(port) < connections:
        if time.monotonic() > deadline:
            raise RuntimeError("h2load did not connect")
        time.sleep(0.05)


def _connections_to(port: int) -> int:
    """Read the kernel's table: number, local and remote address, and state, in hexadecimal."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == _ESTABLISHED for row in rows)


def _check(summary: str, heartbeats: int) -> None:
    """h2load counts a gRPC error as a success. But an error has no message, so bytes are
    missing."""
    succeeded = re.search(r"(\d+) succeeded", summary)
    replies = re.search(r"\((\d+)\) data$", summary, re.MULTILINE)
    if not succeeded or not replies:
        raise WrongReplies(f"h2load printed:\n{summary}")
    if (int(succeeded[1]), int(replies[1])) != (heartbeats, heartbeats * REPLY_BYTES):
        raise WrongReplies(
            f"{succeeded[1]} of {heartbeats} heartbeats were answered, with {replies[1]} bytes"
            f" instead of {heartbeats * REPLY_BYTES}"
        )


def _calls(log: Path) -> list[_Call]:
    """Parse lines with: start in µs since the epoch, HTTP status, duration in µs."""
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    return [_Call(int(row[0]), int(row[0]) + int(row[2])) for row in rows]


def _cpu_of_ended_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
