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
from entrypoints.management_server import open_side_port
from entrypoints.settings import loopback_address

_log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Longer than any call should take, shorter than what service managers wait before they kill.
_DRAIN_SECONDS = 8.0
_LAST_THREADS_SECONDS = 1.0


def serve_as_child(settings: ApiSettings) -> None:
    """One of several processes on the port."""
    configure_logs(settings.log_level, settings.log_format)
    try:
        serve(settings)
    except CommandFailed as error:
        # As when files were spoiled since the supervisor read them.
        _log.error("%s", error)
        sys.exit(error.exit_code)


def serve(settings: ApiSettings) -> None:
    """Serve in this process until SIGTERM or SIGINT, then finish what is in flight."""
    container = ApiContainer(settings=settings)
    force_exit = threading.Timer(_LAST_THREADS_SECONDS, _force_exit)
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
    asked_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in STOP_SIGNALS:
        loop.add_signal_handler(signal_number, asked_to_stop.set)
    # Held back since the start, see main: from here on there is somebody to obey them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    parent = multiprocessing.parent_process()
    if parent:
        # A supervisor that was killed cannot tell its workers to stop.
        loop.add_reader(parent.sentinel, asked_to_stop.set)

    if parent:
        _reserve_room_for_counting()
    with batch_threads():
        server = container.server()
        tune_garbage_collection()
        address = await _start(server, settings)
    _log.info("serving on %s", address)
    if settings.mutual_tls_address:
        _log.info("serving those who show a certificate on %s", settings.mutual_tls_address)
    if settings.metrics_address and not parent:
        management_server = container.management_server_for()(loopback_address(address))
        open_side_port(management_server, settings.metrics_address)
    background = [loop.create_task(work) for work in _background(container, settings)]

    consumers = container.consumers()
    consumer_threads = [
        threading.Thread(target=consumer.run, name=consumer.queue.name, daemon=True)
        for consumer in consumers
    ]
    for thread in consumer_threads:
        thread.start()

    await asked_to_stop.wait()
    _log.info("draining: calls in flight are finished, new ones refused")
    for consumer in consumers:
        consumer.stop()
    await server.drain(_DRAIN_SECONDS)
    for task in background:
        task.cancel()
    force_exit.start()
    for thread in consumer_threads:
        await asyncio.to_thread(thread.join)
    _log.info("stopped")


async def _start(server: GrpcServer, settings: ApiSettings) -> str:
    """The address with the port that it got."""
    try:
        port = await server.start(settings.listen_address, settings.mutual_tls_address)
    except CannotListen as error:
        raise cannot_listen(error.address, settings) from None
    return f"{settings.listen_address.rpartition(':')[0]}:{port}"


def _background(
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


def _reserve_room_for_counting() -> None:
    folder = os.environ.get(DIRECTORY_VARIABLE)
    if not folder:
        return
    try:
        allocate_files(folder)
    except OSError as error:
        _log.warning(
            "there is no room for what is counted in %s (%s): if the disk stays full, this process"
            " may be ended for it; make room, or set METRICS_ADDRESS=off",
            folder,
            error.strerror,
        )


def _force_exit() -> None:
    """See that this process ends, even while a thread of it waits for a database that hangs.

    Such a wait cannot be broken off, and Python waits for its threads. Whoever called was told
    by now that the API is stopping, and nothing was acknowledged.
    """
    _log.warning(
        "the database, the broker or the OIDC provider does not answer: what waits for it is given"
        " up, and was not acknowledged"
    )
    os._exit(os.EX_OK)


def cannot_listen(address: str, settings: ApiSettings) -> CommandFailed:
    setting = "LISTEN_ADDRESS" if address == settings.listen_address else "MTLS_LISTEN_ADDRESS"
    return CommandFailed(
        f"{setting}: {address} cannot be listened on: another process has the port, or the"
        " address is not of this machine.",
        os.EX_UNAVAILABLE,
    )
