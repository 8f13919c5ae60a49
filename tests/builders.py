"""What tests build over and over."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

from domain.capabilities import Capabilities, PortRange

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


def at_once(calls: list[Callable[[], T]]) -> list[T]:
    """Make all the calls at the same moment, a thread for each; their results in order."""
    ready = Barrier(len(calls))

    def call(one: Callable[[], T]) -> T:
        ready.wait(timeout=10)
        return one()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))
