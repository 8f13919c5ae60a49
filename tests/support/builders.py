"""Values that many tests need."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Barrier
from typing import TypeVar

from domain.capabilities import Capabilities, PortRange
from domain.machine_evidence import Evidence

T = TypeVar("T")

NOW = datetime(2026, 2, 28, 23, 59, 58, 123456, tzinfo=UTC)
INTERVAL = timedelta(seconds=15)
SECOND = timedelta(seconds=1)

CAPABILITIES = Capabilities(
    total_memory_mb=65536,
    available_memory_mb=32768,
    cpu_cores=16,
    available_cpu_millicores=12000,
    available_ports=(PortRange(25565, 25600, "TCP"), PortRange(27000, 27050, "UDP")),
    docker_version="27.5.1",
)


def evidence(
    disk: str = "", board: str = "", boot: str = "", instance: str = "", engine: str | None = None
) -> Evidence:
    """Evidence of a machine. `disk` decides the machine-id and the Docker engine ID; an empty text
    means that the value is not known."""
    return Evidence(
        machine_id=_digest("machine", disk),
        hardware_id=_digest("board", board),
        engine_id=_digest("engine", disk if engine is None else engine),
        boot_id=_digest("boot", boot),
        instance_id=_digest("instance", instance),
    )


def _digest(kind: str, text: str) -> str:
    return sha256(f"{kind} {text}".encode()).hexdigest()[:32] if text else ""


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """Make all calls at the same moment, each in its own thread. Returns the results in order."""
    ready = Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        ready.wait(timeout=120)
        return one()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))
