import logging
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

import grpc
from dependency_injector import containers, providers
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from adapters.amqp.batch_consumer import BatchConsumer
from adapters.amqp.broker import Broker
from adapters.amqp.events import AmqpEvents
from adapters.amqp.heartbeat_handler import HeartbeatHandler
from adapters.amqp.host_commands import AmqpHostCommands
from adapters.amqp.publisher import Publisher
from adapters.amqp.rpc_handler import RpcHandler
from adapters.amqp.topology import CALLS, REPORTS
from adapters.grpc.client.health import NotServing, check_own_serving
from adapters.grpc.server.call_audit import CallAudit
from adapters.grpc.server.group_commit import GroupCommit
from adapters.grpc.server.handlers import handlers
from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.in_flight_calls import InFlightCalls
from adapters.grpc.server.key_refresher import KeyRefresher
from adapters.grpc.server.operator_authenticator import OperatorAuthenticator
from adapters.grpc.server.refusal_delay import RefusalDelay
from adapters.grpc.server.request_bodies import RequestBodies
from adapters.grpc.server.server import ConnectionLimits, GrpcServer
from adapters.grpc.server.server_certificate import ServerCertificate
from adapters.grpc.server.services.admission import AdmissionService
from adapters.grpc.server.services.audit import AuditService
from adapters.grpc.server.services.certificates import CertificateService
from adapters.grpc.server.services.configurations import ConfigurationService
from adapters.grpc.server.services.history import HistoryService
from adapters.grpc.server.services.hosts import HostService
from adapters.grpc.server.services.join_keys import JoinKeyService
from adapters.grpc.server.services.operators import OperatorKeyService
from adapters.grpc.server.services.removal import RemovalService
from adapters.grpc.server.services.servers import ServerService
from adapters.grpc.server.worker_pool import WorkerPool
from adapters.http.management_server import ManagementServer
from adapters.memory.events import MemoryEvents
from adapters.memory.host_commands import NoHostCommands
from adapters.memory.store import MemoryStore
from adapters.opentelemetry.null_tracing import NullTracing
from adapters.prometheus.api_metrics import ApiMetrics
from adapters.prometheus.exposition import BuildInfo, metrics_page, shared_metrics_page
from adapters.prometheus.fleet_collector import FleetCollector
from adapters.system.call_with_timeout import CallWithTimeout
from adapters.system.clock import SystemClock
from adapters.system.new_key import new_key, new_serial
from adapters.system.open_files import allow_open_files
from application.access.authenticate_host import AuthenticateHost
from application.access.certificates import Certificates
from application.access.host_credentials import HostCredentials
from application.access.identify_by_token import IdentifyByToken
from application.access.identify_operator import IdentifyOperator
from application.access.key_cache import KeyCache
from application.access.limit_calls import LimitCalls
from application.access.rate_limit import RateLimit
from application.admission.approve_server import ApproveServer
from application.admission.ban_server import BanServer
from application.admission.get_conflict import GetConflict
from application.admission.list_conflicts import ListConflicts
from application.admission.list_dry_run_refusals import ListDryRunRefusals
from application.admission.reject_server import RejectServer
from application.admission.resolve_conflict import ResolveConflict
from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_configuration import GetConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.get_selector_configuration import GetSelectorConfiguration
from application.configuration.list_configurations import ListConfigurations
from application.configuration.list_selector_configurations import ListSelectorConfigurations
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.liveness.expire_servers import ExpireServers
from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.liveness.record_heartbeat import Acknowledged, Heartbeat, RecordHeartbeat
from application.operations.check_readiness import CheckReadiness, PingStore
from application.operations.clean_up_fleet import CleanUpFleet
from application.operations.count_fleet import CountFleet
from application.operations.relay_events import RelayEvents
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_audit import ListAudit
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.record_audit_entry import RecordAuditEntry
from application.operators.revoke_operator_key import RevokeOperatorKey
from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.host_commands import HostCommands
from application.ports.new_key import NewKey
from application.ports.registration_keys import RegistrationKeys
from application.ports.store.store import Store, StoreUnavailable
from application.registration.register_server import RegisterServer
from application.registration.renew_certificate import RenewCertificate
from application.removal.delete_server import DeleteServer
from application.removal.deregister_server import DeregisterServer
from application.removal.list_deleted_servers import ListDeletedServers
from application.removal.prune_servers import PruneServers
from application.removal.restore_server import RestoreServer
from application.servers.create_server import CreateServer
from application.servers.explain_server import ExplainServer
from application.servers.get_server import GetServer
from application.servers.label_server import LabelServer
from application.servers.list_servers import ListServers
from application.servers.merge_servers import MergeServers
from application.servers.refresh_server import RefreshServer
from application.servers.update_server import UpdateServer
from domain.liveness import HeartbeatSchedule
from domain.token_bucket import TokenBucket
from entrypoints.api.oidc import make_identify_by_token, make_provider_keys
from entrypoints.api.settings import ApiSettings
from entrypoints.api.tls import make_pin_authority, read_certificate, read_certificates
from entrypoints.registration_keys import make_registration_keys
from entrypoints.settings import COMMIT, VERSION, Secret
from entrypoints.tracing import make_tracing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adapters.oidc.jwks_cache import JwksCache
    from adapters.opentelemetry.api_traces import ApiTraces

_log = logging.getLogger(__name__)

# Of hosts that show their credential, and of those that show a key or nothing.
_HOST_THREADS = 3
_JOINING_THREADS = 3
_OPERATOR_THREADS = 2
# And one each for the heartbeats' writer, the sweep, the tidying up, the spreading of changes on
# selectors, the relay of events, the two inboxes, who scrapes, who asks whether this API is ready,
# and the looks at keys.
_CONNECTIONS = _HOST_THREADS + _JOINING_THREADS + _OPERATOR_THREADS + 10
# A host with a thousand documents that it does not have fetches as fast as it can.
_OF_ONE_SERVER_PER_SECOND = 100
_BURST_SECONDS = 5
# Of a database, a broker and whoever scrapes, and what is read: they must not lack for connections.
_OTHER_FILES = 256
# Shorter than a scraper or a probe waits.
_MANAGEMENT_TIMEOUT_SECONDS = 3.0

# The ways over which hosts are heard, as they are kept with each server.
_GRPC = "grpc"
_AMQP = "amqp"


def _rate_limit(per_second: int, whose: str) -> RateLimit:
    return RateLimit(TokenBucket(per_second, _BURST_SECONDS * per_second), whose)


def _connection_limits(most: int) -> ConnectionLimits:
    allowed = allow_open_files(most + _OTHER_FILES)
    fewer = max(1, min(most, allowed - _OTHER_FILES))
    if fewer < most:
        _log.warning(
            "MAX_CONNECTIONS is %d, but this process may have only %d files open, and so takes %d"
            " connections: let it have more (LimitNOFILE of systemd, ulimit -n), or set"
            " MAX_CONNECTIONS lower",
            most,
            allowed,
            fewer,
        )
    return ConnectionLimits(most_connections=fewer)


def _process_name() -> str:
    """Another one for each process, however many share a store."""
    return uuid.uuid4().hex


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def _trust_bundle(certificates: Certificates | None) -> str:
    return certificates.authority.bundle if certificates else ""


def _trust_domain(certificates: Certificates | None) -> str:
    return certificates.trust_domain if certificates else ""


def _traces(settings: ApiSettings) -> "ApiTraces | NullTracing":
    tracing = make_tracing(settings, "manmanv2-api")
    if not tracing:
        return NullTracing()
    # An API that does not trace saves 16 MB.
    from adapters.opentelemetry.api_traces import ApiTraces

    return ApiTraces(tracing)


# An API in memory is there in half the time without SQLAlchemy.


def _engine(url: str) -> "Engine":
    from adapters.sql.engine import make_engine

    return make_engine(url, _CONNECTIONS)


def _sql_store(engine: "Engine") -> Store:
    from adapters.sql.store import SqlStore

    return SqlStore(engine)


def _metrics_page(
    registry: CollectorRegistry, shared_folder: str, *collectors: Collector
) -> WSGIApplication:
    if shared_folder:
        return shared_metrics_page(shared_folder, *collectors)
    return metrics_page(registry, *collectors)


def _serves(address: str, over_tls: bool) -> bool:
    try:
        check_own_serving(address, over_tls=over_tls)
    except NotServing:
        return False
    return True


def _side_port(
    page: WSGIApplication, ping_store: Callable[[], None], over_tls: bool, address: str
) -> ManagementServer:
    serves = partial(_serves, address, over_tls)
    return ManagementServer("manmanv2-api", page, CheckReadiness(serves, ping_store))


class ApiContainer(containers.DeclarativeContainer):
    """Everything that `manmanv2-api` is made of."""

    settings: providers.Dependency[ApiSettings] = providers.Dependency(instance_of=ApiSettings)

    registration_keys: providers.Provider[RegistrationKeys] = providers.ThreadSafeSingleton(
        make_registration_keys, settings.provided.registration_key
    )
    operator_key: providers.Provider[str | None] = providers.Callable(
        _reveal, settings.provided.operator_key
    )
    database_url: providers.Provider[str] = providers.Callable(
        Secret.reveal, settings.provided.database_url
    )

    clock: providers.Provider[Clock] = providers.ThreadSafeSingleton(SystemClock)
    traces: providers.Provider["ApiTraces | NullTracing"] = providers.ThreadSafeSingleton(
        _traces, settings
    )
    engine: providers.Provider["Engine"] = providers.ThreadSafeSingleton(
        traces.provided.engine.call(providers.Factory(_engine, database_url))
    )
    registry: providers.Provider[CollectorRegistry] = providers.ThreadSafeSingleton(
        CollectorRegistry
    )
    metrics: providers.Provider[ApiMetrics] = providers.ThreadSafeSingleton(ApiMetrics, registry)
    records: providers.Provider[Store] = providers.Selector(
        settings.provided.store_kind,
        memory=providers.ThreadSafeSingleton(MemoryStore),
        sql=providers.ThreadSafeSingleton(_sql_store, engine),
    )
    store: providers.Provider[Store] = providers.ThreadSafeSingleton(
        ApiMetrics.store, metrics, records
    )
    host_credentials: providers.Provider[HostCredentials] = providers.ThreadSafeSingleton(
        HostCredentials,
        store,
        clock,
        providers.Object(new_serial),
        settings.provided.host_credential_lifetime,
    )
    authenticate_host: providers.Provider[AuthenticateHost] = providers.ThreadSafeSingleton(
        AuthenticateHost,
        registration_keys,
        settings.provided.registration_key_required,
        host_credentials,
    )
    certificates: providers.Provider[Certificates | None] = providers.ThreadSafeSingleton(
        read_certificates, settings
    )
    trust_bundle: providers.Provider[str] = providers.Callable(_trust_bundle, certificates)
    certificate: providers.Provider[ServerCertificate | None] = providers.ThreadSafeSingleton(
        read_certificate, settings, metrics
    )
    key_cache: providers.Provider[KeyCache] = providers.ThreadSafeSingleton(
        KeyCache, store, authenticate_host
    )
    schedule: providers.Provider[HeartbeatSchedule] = providers.ThreadSafeSingleton(
        HeartbeatSchedule,
        interval=providers.Factory(timedelta, seconds=settings.provided.heartbeat_interval_seconds),
        max_heartbeats_per_second=settings.provided.max_heartbeats_per_second,
    )
    heartbeat_interval: providers.Provider[HeartbeatInterval] = providers.ThreadSafeSingleton(
        HeartbeatInterval, schedule
    )

    # Where several processes keep what they count; empty for one that is alone.
    shared_metrics_folder: providers.Provider[str] = providers.Object("")
    # Takes the address at which the API answers.
    management_server: providers.Provider[ManagementServer] = providers.Factory(
        _side_port,
        providers.ThreadSafeSingleton(
            _metrics_page,
            registry,
            shared_metrics_folder,
            providers.Factory(BuildInfo, "api", VERSION, COMMIT),
            providers.Factory(
                FleetCollector,
                providers.Factory(
                    CallWithTimeout,
                    providers.Factory(CountFleet, store, clock, schedule),
                    _MANAGEMENT_TIMEOUT_SECONDS,
                    providers.Object(StoreUnavailable),
                ),
            ),
        ),
        providers.ThreadSafeSingleton(
            CallWithTimeout,
            providers.Factory(PingStore, store),
            _MANAGEMENT_TIMEOUT_SECONDS,
            providers.Object(StoreUnavailable),
        ),
        settings.provided.speaks_tls,
    )

    broker: providers.Provider[Broker] = providers.ThreadSafeSingleton(
        Broker,
        providers.Callable(Secret.reveal, settings.provided.rabbitmq_url),
        settings.provided.rabbitmq_ca_cert_path,
    )
    publisher: providers.Provider[Publisher] = providers.ThreadSafeSingleton(Publisher, broker)
    # Of their own: events that wait for a broker must not make an operator wait.
    event_publisher: providers.Provider[Publisher] = providers.ThreadSafeSingleton(
        Publisher, broker
    )
    audience: providers.Provider[Events] = providers.Selector(
        settings.provided.messages_kind,
        memory=providers.ThreadSafeSingleton(MemoryEvents),
        amqp=providers.ThreadSafeSingleton(
            traces.provided.events.call(providers.Factory(AmqpEvents, event_publisher))
        ),
    )
    events: providers.Provider[Events] = providers.ThreadSafeSingleton(
        ApiMetrics.events, metrics, audience
    )
    host_commands: providers.Provider[HostCommands] = providers.Selector(
        settings.provided.messages_kind,
        memory=providers.ThreadSafeSingleton(NoHostCommands),
        amqp=providers.ThreadSafeSingleton(AmqpHostCommands, publisher),
    )
    relay_events: providers.Provider[RelayEvents] = providers.ThreadSafeSingleton(
        RelayEvents,
        store,
        events,
        clock,
        providers.Callable(_process_name),
        hold_back=settings.provided.events_held_back,
    )

    heartbeat_intake: providers.Provider[HeartbeatIntake] = providers.ThreadSafeSingleton(
        HeartbeatIntake
    )
    expire_servers: providers.Provider[ExpireServers] = providers.ThreadSafeSingleton(
        ExpireServers, store, clock, heartbeat_interval, heartbeat_intake
    )
    sweep: providers.Provider[Callable[[], Collection[int]]] = providers.ThreadSafeSingleton(
        ApiMetrics.sweep, metrics, traces.provided.sweep.call(expire_servers)
    )
    record_heartbeat: providers.Provider[RecordHeartbeat] = providers.ThreadSafeSingleton(
        RecordHeartbeat,
        store,
        clock,
        heartbeat_interval,
        heartbeat_intake,
        _GRPC,
        settings.provided.registration_rules,
        host_credentials,
    )

    heartbeat_writer: providers.Provider[ThreadPoolExecutor] = providers.ThreadSafeSingleton(
        ThreadPoolExecutor, max_workers=1, thread_name_prefix="heartbeats"
    )
    heartbeats: providers.Provider[GroupCommit[Heartbeat, Acknowledged]] = (
        providers.ThreadSafeSingleton(
            GroupCommit,
            traces.provided.heartbeats.call(
                providers.Callable(ApiMetrics.heartbeats, metrics, _GRPC, record_heartbeat)
            ),
            heartbeat_writer,
        )
    )
    limit_calls: providers.Provider[LimitCalls] = providers.ThreadSafeSingleton(
        LimitCalls,
        key_cache,
        providers.Factory(_rate_limit, _OF_ONE_SERVER_PER_SECOND, "of this server"),
        providers.Factory(
            _rate_limit, settings.provided.max_registrations_per_second, "with this key"
        ),
        providers.Factory(
            _rate_limit, settings.provided.max_operator_calls_per_second, "with this key"
        ),
        providers.Factory(
            _rate_limit,
            settings.provided.max_wrong_keys_per_second,
            "without a key that is known from this address",
        ),
        operator_key,
    )
    key_refresher: providers.Provider[KeyRefresher] = providers.ThreadSafeSingleton(
        KeyRefresher, key_cache.provided.refresh
    )
    joining_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, "joining", _JOINING_THREADS
    )
    host_call_admission: providers.Provider[HostCallAdmission] = providers.ThreadSafeSingleton(
        HostCallAdmission,
        providers.Factory(WorkerPool, "hosts", _HOST_THREADS),
        joining_calls,
        limit_calls,
        key_refresher,
    )
    operator_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, "operators", _OPERATOR_THREADS
    )
    fetch_configuration: providers.Provider[FetchConfiguration] = providers.ThreadSafeSingleton(
        FetchConfiguration, store, clock, authenticate_host, settings.provided.registration_rules
    )
    host_service: providers.Provider[HostService] = providers.ThreadSafeSingleton(
        HostService,
        host_call_admission=host_call_admission,
        heartbeats=heartbeats,
        register_server=providers.Factory(
            RegisterServer,
            store,
            clock,
            heartbeat_interval,
            authenticate_host,
            _GRPC,
            settings.provided.registration_rules,
            certificates,
        ),
        mutual_tls_port=settings.provided.mutual_tls_port,
    )
    server_service: providers.Provider[ServerService] = providers.ThreadSafeSingleton(
        ServerService,
        operator_calls=operator_calls,
        list_servers=providers.Factory(ListServers, store, clock),
        get_server=providers.Factory(GetServer, store),
        create_server=providers.Factory(CreateServer, store, clock),
        update_server=providers.Factory(UpdateServer, store, clock, heartbeat_interval),
        label_server=providers.Factory(LabelServer, store, clock),
        refresh_server=providers.Factory(
            RefreshServer, store, clock, host_commands, settings.provided.enforcement
        ),
    )
    certificate_service: providers.Provider[CertificateService] = providers.ThreadSafeSingleton(
        CertificateService,
        host_call_admission=host_call_admission,
        renew_certificate=providers.Factory(
            RenewCertificate,
            store,
            clock,
            authenticate_host,
            certificates,
            settings.provided.enforcement,
        ),
        trust_bundle=trust_bundle,
    )
    propagate_configuration: providers.Provider[PropagateConfiguration] = (
        providers.ThreadSafeSingleton(PropagateConfiguration, store, clock)
    )
    configuration_service: providers.Provider[ConfigurationService] = providers.ThreadSafeSingleton(
        ConfigurationService,
        host_call_admission=host_call_admission,
        operator_calls=operator_calls,
        fetch_configuration=fetch_configuration,
        put_configuration=providers.Factory(PutConfiguration, store, clock),
        get_configuration=providers.Factory(GetConfiguration, store),
        list_configurations=providers.Factory(ListConfigurations, store),
        delete_configuration=providers.Factory(DeleteConfiguration, store, clock),
        put_selector_configuration=providers.Factory(
            PutSelectorConfiguration, store, clock, propagate_configuration
        ),
        get_selector_configuration=providers.Factory(GetSelectorConfiguration, store),
        list_selector_configurations=providers.Factory(ListSelectorConfigurations, store),
        delete_selector_configuration=providers.Factory(
            DeleteSelectorConfiguration, store, propagate_configuration
        ),
        get_effective_configuration=providers.Factory(GetEffectiveConfiguration, store),
    )
    deregister_server: providers.Provider[DeregisterServer] = providers.ThreadSafeSingleton(
        DeregisterServer,
        store,
        clock,
        authenticate_host,
        settings.provided.enforcement,
        settings.provided.retention,
    )
    prune_servers: providers.Provider[PruneServers] = providers.ThreadSafeSingleton(
        PruneServers, store, clock, settings.provided.retention
    )
    clean_up_fleet: providers.Provider[CleanUpFleet] = providers.ThreadSafeSingleton(
        CleanUpFleet,
        store,
        clock,
        prune_servers,
        expire_servers.provided.can_expire,
        settings.provided.retention.audit,
    )
    removal_service: providers.Provider[RemovalService] = providers.ThreadSafeSingleton(
        RemovalService,
        host_call_admission=host_call_admission,
        operator_calls=operator_calls,
        deregister_server=deregister_server,
        delete_server=providers.Factory(
            DeleteServer, store, clock, settings.provided.enforcement, settings.provided.retention
        ),
        list_deleted_servers=providers.Factory(ListDeletedServers, store),
        restore_server=providers.Factory(RestoreServer, store, clock),
        prune_servers=prune_servers,
    )
    history_service: providers.Provider[HistoryService] = providers.ThreadSafeSingleton(
        HistoryService,
        operator_calls=operator_calls,
        explain_server=providers.Factory(ExplainServer, store, clock, settings.provided.retention),
        merge_servers=providers.Factory(MergeServers, store, clock, settings.provided.retention),
    )
    admission_service: providers.Provider[AdmissionService] = providers.ThreadSafeSingleton(
        AdmissionService,
        operator_calls=operator_calls,
        approve_server=providers.Factory(ApproveServer, store, clock),
        reject_server=providers.Factory(RejectServer, store, clock),
        ban_server=providers.Factory(BanServer, store, clock),
        list_conflicts=providers.Factory(ListConflicts, store),
        get_conflict=providers.Factory(GetConflict, store),
        resolve_conflict=providers.Factory(
            ResolveConflict, store, clock, settings.provided.retention
        ),
        list_would_reject=providers.Factory(ListDryRunRefusals, store),
    )
    make_key: providers.Provider[NewKey] = providers.Object(new_key)
    jwks_cache: providers.Provider["JwksCache | None"] = providers.ThreadSafeSingleton(
        make_provider_keys, settings
    )
    identify_by_token: providers.Provider[IdentifyByToken | None] = providers.ThreadSafeSingleton(
        make_identify_by_token, settings, jwks_cache
    )
    identify_operator: providers.Provider[IdentifyOperator] = providers.ThreadSafeSingleton(
        IdentifyOperator, store, clock, operator_key, identify_by_token
    )
    operator_authenticator: providers.Provider[OperatorAuthenticator] = (
        providers.ThreadSafeSingleton(
            OperatorAuthenticator,
            operator_calls,
            joining_calls,
            identify_operator,
            limit_calls,
            key_refresher,
        )
    )
    join_key_service: providers.Provider[JoinKeyService] = providers.ThreadSafeSingleton(
        JoinKeyService,
        operator_calls=operator_calls,
        create_join_key=providers.Factory(
            CreateJoinKey,
            store,
            clock,
            make_key,
            authenticate_host,
            providers.Factory(make_pin_authority, certificates, certificate),
        ),
        list_join_keys=providers.Factory(ListJoinKeys, store),
        list_join_key_uses=providers.Factory(ListJoinKeyUses, store),
        revoke_join_key=providers.Factory(RevokeJoinKey, store, clock),
    )
    operator_key_service: providers.Provider[OperatorKeyService] = providers.ThreadSafeSingleton(
        OperatorKeyService,
        operator_calls=operator_calls,
        create_operator_key=providers.Factory(CreateOperatorKey, store, clock, make_key),
        create_operator_certificate=providers.Factory(
            CreateOperatorCertificate, store, clock, make_key, certificates
        ),
        list_operator_keys=providers.Factory(ListOperatorKeys, store),
        revoke_operator_key=providers.Factory(RevokeOperatorKey, store, clock),
    )
    audit_service: providers.Provider[AuditService] = providers.ThreadSafeSingleton(
        AuditService,
        operator_calls=operator_calls,
        list_audit=providers.Factory(ListAudit, store),
    )
    call_audit: providers.Provider[CallAudit] = providers.ThreadSafeSingleton(
        CallAudit, operator_calls, providers.Factory(RecordAuditEntry, store, clock)
    )
    # What arrives over the broker.
    inboxes: providers.Provider[Sequence[BatchConsumer]] = providers.Selector(
        settings.provided.messages_kind,
        memory=providers.Object(()),
        amqp=providers.List(
            providers.ThreadSafeSingleton(
                BatchConsumer,
                broker,
                REPORTS,
                traces.provided.messages.call(
                    REPORTS.name,
                    providers.Factory(
                        HeartbeatHandler,
                        providers.Callable(
                            ApiMetrics.heartbeats,
                            metrics,
                            _AMQP,
                            providers.Factory(
                                RecordHeartbeat,
                                store,
                                clock,
                                heartbeat_interval,
                                heartbeat_intake,
                                _AMQP,
                                settings.provided.registration_rules,
                                host_credentials,
                            ),
                        ),
                    ),
                ),
                listens=providers.Callable(
                    ApiMetrics.broker_connection,
                    metrics,
                    providers.Callable(partial, heartbeat_intake.provided.listens, _AMQP),
                ),
            ),
            providers.ThreadSafeSingleton(
                BatchConsumer,
                broker,
                CALLS,
                providers.Factory(
                    RpcHandler,
                    traces.provided.message.call(
                        CALLS.name,
                        providers.Factory(
                            RegisterServer,
                            store,
                            clock,
                            heartbeat_interval,
                            authenticate_host,
                            _AMQP,
                            settings.provided.registration_rules,
                        ),
                    ),
                    traces.provided.message.call(CALLS.name, fetch_configuration),
                    traces.provided.message.call(CALLS.name, deregister_server),
                ),
                keeps_bodies=False,
                # Each is a transaction of its own, and who asks waits for five seconds.
                largest_batch=20,
            ),
        ),
    )

    request_bodies: providers.Provider[RequestBodies] = providers.ThreadSafeSingleton(RequestBodies)
    refusal_delay: providers.Provider[RefusalDelay] = providers.ThreadSafeSingleton(RefusalDelay)
    in_flight_calls: providers.Provider[InFlightCalls] = providers.ThreadSafeSingleton(
        InFlightCalls
    )
    rpc_handlers: providers.Provider[grpc.GenericRpcHandler] = providers.Callable(
        handlers,
        providers.List(
            host_service,
            server_service,
            configuration_service,
            admission_service,
            removal_service,
            history_service,
            join_key_service,
            certificate_service,
            operator_key_service,
            audit_service,
        ),
        operator_authenticator,
        in_flight_calls,
        metrics.provided.call_handled,
        call_audit,
        request_bodies,
        refusal_delay,
        providers.Callable(_trust_domain, certificates),
    )
    shares_port: providers.Provider[bool] = providers.Callable(
        (1).__lt__, settings.provided.api_workers
    )
    connection_limits: providers.Provider[ConnectionLimits] = providers.Factory(
        _connection_limits, settings.provided.max_connections
    )
    # Made inside the running event loop, which gRPC binds it to.
    server: providers.Provider[GrpcServer] = providers.Factory(
        GrpcServer,
        rpc_handlers,
        in_flight_calls,
        shared_port=shares_port,
        with_reflection=settings.provided.grpc_reflection,
        interceptors=traces.provided.interceptors.call(),
        certificate=certificate,
        trust_bundle=trust_bundle,
        limits=connection_limits,
    )
