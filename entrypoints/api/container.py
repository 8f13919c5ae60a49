"""The API's container: its parts, and the servers in front of them."""

import logging
from collections.abc import Callable
from functools import partial
from wsgiref.types import WSGIApplication

import grpc
from dependency_injector import providers
from prometheus_client import CollectorRegistry

from adapters.grpc.client.health import NotServing, check_own_serving
from adapters.grpc.server.handlers import handlers
from adapters.grpc.server.in_flight_calls import InFlightCalls
from adapters.grpc.server.refusal_delay import RefusalDelay
from adapters.grpc.server.request_bodies import RequestBodies
from adapters.grpc.server.server import ConnectionLimits, GrpcServer
from adapters.http.management_server import ManagementServer
from adapters.prometheus.exposition import BuildInfo, metrics_page, shared_metrics_page
from adapters.prometheus.fleet_collector import FleetCollector
from adapters.system.call_with_timeout import CallWithTimeout
from adapters.system.open_files import allow_open_files
from application.operations.check_readiness import CheckReadiness, PingStore
from application.operations.count_fleet import CountFleet, FleetStatistics
from application.ports.store.store import StoreUnavailable
from entrypoints.api.containers.access import Access
from entrypoints.api.containers.consumers import Consumers
from entrypoints.api.containers.messaging import Messaging
from entrypoints.api.containers.services import Services
from entrypoints.api.containers.storage import Storage
from entrypoints.settings import COMMIT, VERSION

_log = logging.getLogger(__name__)

# Reserved for the database, the broker, scrapers and files that are read: connections of hosts must
# not use up the descriptors that these need.
_RESERVED_FILES = 256
# Shorter than a scraper or a probe waits.
_MANAGEMENT_TIMEOUT_SECONDS = 3.0


def _make_connection_limits(max_connections: int) -> ConnectionLimits:
    allowed = allow_open_files(max_connections + _RESERVED_FILES)
    possible = max(1, min(max_connections, allowed - _RESERVED_FILES))
    if possible < max_connections:
        _log.warning(
            "MAX_CONNECTIONS is %d, but this process may open only %d files, so it accepts only %d"
            " connections: raise the limit of open files (LimitNOFILE of systemd, ulimit -n), or"
            " lower MAX_CONNECTIONS",
            max_connections,
            allowed,
            possible,
        )
    return ConnectionLimits(max_connections=possible)


def _make_metrics_page(
    registry: CollectorRegistry,
    shared_directory: str,
    build_info: BuildInfo,
    fleet: FleetCollector,
) -> WSGIApplication:
    if shared_directory:
        return shared_metrics_page(shared_directory, build_info, fleet)
    return metrics_page(registry, build_info, fleet)


def _serves(address: str, over_tls: bool) -> bool:
    try:
        check_own_serving(address, over_tls=over_tls)
    except NotServing:
        return False
    return True


def _make_management_server_for(
    page: WSGIApplication, ping_store: CallWithTimeout[None], over_tls: bool
) -> Callable[[str], ManagementServer]:
    """Makes a management server from the address at which the API answers."""

    def make(api_address: str) -> ManagementServer:
        is_ready = CheckReadiness(
            serves=partial(_serves, api_address, over_tls), ping_store=ping_store
        )
        return ManagementServer("manmanv2-api", page, is_ready)

    return make


class ApiContainer(Storage, Access, Messaging, Services, Consumers):
    """Builds every object of `manmanv2-api`."""

    # The directory in which several processes keep their metrics; empty for a single process.
    shared_metrics_dir: providers.Provider[str] = providers.Object("")
    count_fleet: providers.Provider[CallWithTimeout[FleetStatistics]] = providers.Factory(
        CallWithTimeout,
        call=providers.Factory(
            CountFleet,
            store=Storage.store,
            clock=Storage.clock,
            schedule=Storage.heartbeat_schedule,
        ),
        seconds=_MANAGEMENT_TIMEOUT_SECONDS,
        too_late=providers.Object(StoreUnavailable),
    )
    ping_store: providers.Provider[CallWithTimeout[None]] = providers.ThreadSafeSingleton(
        CallWithTimeout,
        call=providers.Factory(PingStore, store=Storage.store),
        seconds=_MANAGEMENT_TIMEOUT_SECONDS,
        too_late=providers.Object(StoreUnavailable),
    )
    metrics_page: providers.Provider[WSGIApplication] = providers.ThreadSafeSingleton(
        _make_metrics_page,
        registry=Storage.registry,
        shared_directory=shared_metrics_dir,
        build_info=providers.Factory(BuildInfo, component="api", version=VERSION, commit=COMMIT),
        fleet=providers.Factory(FleetCollector, count_fleet=count_fleet),
    )
    management_server_for: providers.Provider[Callable[[str], ManagementServer]] = (
        providers.Callable(
            _make_management_server_for,
            page=metrics_page,
            ping_store=ping_store,
            over_tls=Storage.settings.provided.speaks_tls,
        )
    )

    request_bodies: providers.Provider[RequestBodies] = providers.ThreadSafeSingleton(RequestBodies)
    refusal_delay: providers.Provider[RefusalDelay] = providers.ThreadSafeSingleton(RefusalDelay)
    in_flight_calls: providers.Provider[InFlightCalls] = providers.ThreadSafeSingleton(
        InFlightCalls
    )
    rpc_handlers: providers.Provider[grpc.GenericRpcHandler] = providers.Callable(
        handlers,
        services=providers.List(
            Services.host_service,
            Services.server_service,
            Services.configuration_service,
            Services.admission_service,
            Services.removal_service,
            Services.history_service,
            Services.join_key_service,
            Services.certificate_service,
            Services.operator_key_service,
            Services.audit_service,
        ),
        operators=Access.operator_authenticator,
        in_flight_calls=in_flight_calls,
        on_handled=Storage.metrics.provided.call_handled,
        audit=Access.call_audit,
        bodies=request_bodies,
        refusal_delay=refusal_delay,
        trust_domain=Access.trust_domain,
    )
    connection_limits: providers.Provider[ConnectionLimits] = providers.Factory(
        _make_connection_limits, max_connections=Storage.settings.provided.max_connections
    )
    # Call it inside the running event loop: gRPC binds the server to that.
    server: providers.Provider[GrpcServer] = providers.Factory(
        GrpcServer,
        handlers=rpc_handlers,
        in_flight_calls=in_flight_calls,
        shared_port=Storage.settings.provided.shares_port,
        with_reflection=Storage.settings.provided.grpc_reflection,
        interceptors=Storage.traces.provided.interceptors.call(),
        certificate=Access.certificate,
        trust_bundle=Access.trust_bundle,
        limits=connection_limits,
    )
