"""Measures the time from a host manager's start to its registration, and its memory then, compared
with a Python process that only imports gRPC."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks.server_process import ServerProcess

_COMMANDS = Path(sys.executable).parent
_IMPORT_GRPC = "import grpc; print('ready', flush=True); input()"
_MEGABYTE = 2**20
# dependency-injector and gRPC load these if they are installed, and only our development tools
# install them.
_ONLY_FOR_DEVELOPMENT = ("yaml", "grpc_tools")


@dataclass(frozen=True)
class Start:
    seconds: float
    resident_mb: float


def measure_host_manager(folder: Path, rounds: int) -> str:
    """The result as one line of the report."""
    hosts: list[Start] = []
    imports: list[Start] = []
    for name in _ONLY_FOR_DEVELOPMENT:
        (folder / f"{name}.py").write_text("raise ImportError\n")
    with _api(folder) as port:
        # The first start may compile and is not measured.
        for number in range(rounds + 1):
            host, bare = _start_host(folder, port), _import_grpc(folder)
            if number:
                hosts.append(host)
                imports.append(bare)
    seconds, resident = _medians(hosts)
    bare_seconds, bare_resident = _medians(imports)
    return (
        f"Host manager: registered {seconds:.2f} s after its start, {resident:.0f} MB resident:"
        f" {seconds / bare_seconds:.1f} times the time and {resident / bare_resident:.1f} times the"
        f" memory of a process that only imports gRPC"
    )


def _medians(starts: list[Start]) -> tuple[float, float]:
    return median(one.seconds for one in starts), median(one.resident_mb for one in starts)


@contextmanager
def _api(folder: Path) -> Iterator[int]:
    settings = {"DATABASE_URL": "memory://", "LISTEN_ADDRESS": "127.0.0.1:0"}
    command = [str(_COMMANDS / "manmanv2-api")]
    with ServerProcess(command, settings, folder / "api-of-host-manager.log") as api:
        yield api.port


def _start_host(folder: Path, port: int) -> Start:
    settings = {
        "API_ADDRESS": f"127.0.0.1:{port}",
        "SERVER_NAME": "bench",
        "DOCKER_SOCKET": str(folder / "no-docker.sock"),
        "DOCKER_OPTIONAL": "true",
        "LOG_FORMAT": "json",
        "PYTHONPATH": str(folder),
    }
    return _measure([str(_COMMANDS / "manmanv2-host")], "Registered as server", settings)


def _import_grpc(folder: Path) -> Start:
    settings = {"PYTHONPATH": str(folder)}
    return _measure([sys.executable, "-c", _IMPORT_GRPC], "ready", settings)


def _measure(command: list[str], ready: str, settings: dict[str, str]) -> Start:
    """Until the process prints a line with `ready`."""
    began = time.monotonic()
    with subprocess.Popen(
        command,
        # Only our own settings: a setting of the caller must not change what is measured.
        env={"PATH": os.environ["PATH"], **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        try:
            lines = iter(process.stdout.readline, "")
            if not any(ready in line for line in lines):
                raise RuntimeError(f"{command[0]} ended before it printed {ready!r}")
            seconds = time.monotonic() - began
            resident = psutil.Process(process.pid).memory_info().rss / _MEGABYTE
        finally:
            process.terminate()
            process.stdout.read()
    return Start(seconds, resident)
