"""A running API for the tests of other projects: see docs/testing.md."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc
import pytest
from dependency_injector import providers

from adapters.grpc.server.server import GrpcServer
from adapters.memory.clock import MemoryClock
from application.liveness.expire_servers import ExpireServers
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub

# A test makes all its calls from one address, as fast as it can.
_NO_LIMIT = 1_000_000
# As often as the API itself searches for silent servers, so that time passes as in real life.
_SWEEPS_PER_INTERVAL = 5
# How long the tasks of cancelled calls may take to end.
_MAX_CANCEL_SECONDS = 10


@dataclass(frozen=True)
class RunningApi:
    """The API in memory mode, in this process, on a free port of this machine.

    `client` is the gRPC stub. The API's clock stands still until `advance` is called.
    """

    address: str
    client: ManManAPIStub
    clock: MemoryClock
    _expire_servers: ExpireServers

    def advance(self, duration: timedelta) -> None:
        """Let time pass for the API, which sets servers offline that are silent for too long.

        As after any start, it sets no server offline before three heartbeat intervals are over.
        """
        step = self._expire_servers.heartbeat_interval.schedule.interval / _SWEEPS_PER_INTERVAL
        while duration > timedelta(0):
            self.clock.advance(min(step, duration))
            duration -= step
            self._expire_servers()


def make_test_container(settings: ApiSettings, clock: MemoryClock) -> ApiContainer:
    container = ApiContainer(settings=settings)
    container.clock.override(providers.Object(clock))
    return container


@contextmanager
def running_api(
    *,
    registration_key: str | None = None,
    operator_key: str | None = None,
    heartbeat_interval_seconds: int = 15,
) -> Iterator[RunningApi]:
    """Run an API for the length of a `with` block."""
    settings = ApiSettings(
        database_url=Secret(IN_MEMORY),
        listen_address="127.0.0.1:0",
        registration_key=Secret(registration_key) if registration_key else None,
        operator_key=Secret(operator_key) if operator_key else None,
        heartbeat_interval_seconds=heartbeat_interval_seconds,
        max_registrations_per_second=_NO_LIMIT,
        max_operator_calls_per_second=_NO_LIMIT,
        max_unauthenticated_calls_per_second=_NO_LIMIT,
    )
    clock = MemoryClock()
    container = make_test_container(settings, clock)
    expire_servers = container.expire_servers()
    expire_servers()
    with serving(container) as port:
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            yield RunningApi(address, ManManAPIStub(channel), clock, expire_servers)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


@pytest.fixture
def manmanv2_api() -> Iterator[RunningApi]:
    """A running API that needs no keys."""
    with running_api() as api:
        yield api


@contextmanager
def serving(container: ApiContainer) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="manmanv2-api", daemon=True)
    thread.start()

    async def start() -> tuple[GrpcServer, int]:
        server = container.server()
        settings = container.settings()
        return server, await server.start(settings.listen_address, settings.mutual_tls_address)

    async def stop() -> None:
        await server.drain(grace_seconds=0)
        # Calls that were still running. Destroyed later, they would be logged in another test.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_MAX_CANCEL_SECONDS)

    server, port = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
