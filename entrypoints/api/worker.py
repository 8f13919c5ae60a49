import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import uvloop

from adapters.grpc.server.port_reservation import CannotListen
from adapters.grpc.server.server import GrpcServer
from adapters.prometheus.multiprocess_dir import DIRECTORY_VARIABLE, allocate_files
from entrypoints.api.background import (
    run_clean_up,
    run_propagation,
    run_relay,
    run_sweep,
    watch_certificate,
    watch_keys,
    watch_provider_keys,
)
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import ApiSettings, MessagesKind, StoreKind
from entrypoints.api.tuning import batch_threads, tune_garbage_collection
from entrypoints.failures import CommandFailed
from entrypoints.logs import configure_logs
from entrypoints.management_server import start_management_server
from entrypoints.settings import loopback_address

_log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Longer than any call should take, shorter than service managers wait before they kill.
_DRAIN_TIMEOUT_SECONDS = 8.0
_FORCE_EXIT_TIMEOUT_SECONDS = 1.0


def serve_as_worker(settings: ApiSettings) -> None:
    """Serve as one of several processes on the same port."""
    configure_logs(settings.log_level, settings.log_format)
    try:
        serve(settings)
    except CommandFailed as error:
        # For example because a file changed after the supervisor had read it.
        _log.error("%s", error)
        sys.exit(error.exit_code)


def serve(settings: ApiSettings) -> None:
    """Serve in this process until SIGTERM or SIGINT, then finish the calls in flight."""
    container = ApiContainer(settings=settings)
    force_exit = threading.Timer(_FORCE_EXIT_TIMEOUT_SECONDS, _force_exit)
    force_exit.daemon = True
    with ExitStack() as stack:
        stack.callback(container.traces().close)
        stack.callback(force_exit.cancel)
        if settings.store_kind is StoreKind.SQL:
            stack.callback(container.engine().dispose)
        for threads in (container.host_call_admission(), container.operator_calls()):
            stack.callback(threads.close)
        stack.callback(container.heartbeat_writer().shutdown)
        if settings.messages_kind is MessagesKind.AMQP:
            for publisher in (container.publisher(), container.event_publisher()):
                stack.callback(publisher.close)
        uvloop.run(_serve(container, settings, force_exit))


async def _serve(
    container: ApiContainer, settings: ApiSettings, force_exit: threading.Timer
) -> None:
    stop_requested = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in STOP_SIGNALS:
        loop.add_signal_handler(signal_number, stop_requested.set)
    # Blocked since the start, see main: from here on they are handled.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    parent = multiprocessing.parent_process()
    if parent:
        # A supervisor that was killed cannot stop its workers.
        loop.add_reader(parent.sentinel, stop_requested.set)

    if parent:
        _allocate_metrics_files()
    with batch_threads():
        server = container.server()
        tune_garbage_collection()
        address = await _start(server, settings)
    # The demonstration reads the address from this field.
    _log.info("Serving on %s", address, extra={"serving_address": address})
    if settings.mutual_tls_address:
        _log.info("Serving mutual-TLS clients on %s", settings.mutual_tls_address)
    if settings.metrics_address and not parent:
        management_server = container.management_server_for()(loopback_address(address))
        start_management_server(management_server, settings.metrics_address)
    background = [loop.create_task(each) for each in _background_loops(container, settings)]

    consumers = container.consumers()
    consumer_threads = [
        threading.Thread(target=consumer.run, name=consumer.queue.name, daemon=True)
        for consumer in consumers
    ]
    for thread in consumer_threads:
        thread.start()

    await stop_requested.wait()
    _log.info("Draining: finishing the calls in flight, refusing new ones")
    for consumer in consumers:
        consumer.stop()
    await server.drain(_DRAIN_TIMEOUT_SECONDS)
    for task in background:
        task.cancel()
    force_exit.start()
    for thread in consumer_threads:
        await asyncio.to_thread(thread.join)
    _log.info("Stopped")


async def _start(server: GrpcServer, settings: ApiSettings) -> str:
    """Returns the address with the actual port."""
    try:
        port = await server.start(settings.listen_address, settings.mutual_tls_address)
    except CannotListen as error:
        raise cannot_listen(error.address, settings) from None
    return f"{settings.listen_address.rpartition(':')[0]}:{port}"


def _background_loops(
    container: ApiContainer, settings: ApiSettings
) -> Iterator[Coroutine[Any, Any, None]]:
    yield run_sweep(container.sweep(), container.heartbeat_schedule().interval)
    yield run_relay(container.relay_events())
    yield run_propagation(container.propagate_configuration())
    yield run_clean_up(container.clean_up_fleet(), settings.retention.ephemeral)
    yield watch_keys(container.registration_keys())
    certificate = container.certificate()
    if certificate:
        yield watch_certificate(certificate)
    jwks_cache = container.jwks_cache()
    if jwks_cache:
        yield watch_provider_keys(jwks_cache)


def _allocate_metrics_files() -> None:
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory:
        return
    try:
        allocate_files(directory)
    except OSError as error:
        _log.warning(
            "No space can be allocated for the metrics in %s (%s): if the disk stays full, the"
            " kernel may kill this process; free some space, or set METRICS_ADDRESS=off",
            directory,
            error.strerror,
        )


def _force_exit() -> None:
    """End this process even if one of its threads waits for a database that hangs.

    Such a wait cannot be interrupted, and Python waits for its threads at exit. By now the callers
    have the answer that the API is stopping, and nothing was acknowledged.
    """
    _log.warning(
        "The database, the broker or the OIDC provider does not answer: giving up the calls that"
        " wait for it, none of which was acknowledged"
    )
    os._exit(os.EX_OK)


def cannot_listen(address: str, settings: ApiSettings) -> CommandFailed:
    setting = "LISTEN_ADDRESS" if address == settings.listen_address else "MTLS_LISTEN_ADDRESS"
    return CommandFailed(
        f"{setting}: cannot listen on {address}: another process uses the port, or the address does"
        " not belong to this machine.",
        os.EX_UNAVAILABLE,
    )
