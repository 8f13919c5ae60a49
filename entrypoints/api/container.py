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

from adapters.amqp.batch_consumer import Inbox
from adapters.amqp.broker import Broker
from adapters.amqp.events import AmqpEvents
from adapters.amqp.heartbeat_handler import Reports
from adapters.amqp.host_commands import AmqpHostCommands
from adapters.amqp.publisher import Publisher
from adapters.amqp.rpc_handler import Calls
from adapters.amqp.topology import CALLS, REPORTS
from adapters.grpc.client.health import NotServing, check_own_serving
from adapters.grpc.server.call_audit import CallAudit
from adapters.grpc.server.group_commit import GroupCommit
from adapters.grpc.server.handlers import handlers
from adapters.grpc.server.host_call_admission import HostCalls
from adapters.grpc.server.in_flight_calls import Gate
from adapters.grpc.server.key_refresher import KeyLooks
from adapters.grpc.server.operator_authenticator import OperatorAccess
from adapters.grpc.server.refusal_delay import Tarpit
from adapters.grpc.server.request_bodies import RequestBodies
from adapters.grpc.server.server import ConnectionLimits, GrpcServer
from adapters.grpc.server.server_certificate import ServerCertificate
from adapters.grpc.server.services.admission import AdmissionService
from adapters.grpc.server.services.audit import AuditService
from adapters.grpc.server.services.certificates import CertificateService
from adapters.grpc.server.services.configurations import ConfigurationService
from adapters.grpc.server.services.history import HistoryService
from adapters.grpc.server.services.join_keys import JoinKeyService
from adapters.grpc.server.services.operators import AccessService
from adapters.grpc.server.services.removal import RemovalService
from adapters.grpc.server.services.servers import ManManService
from adapters.grpc.server.worker_pool import WorkerPool
from adapters.http.management_server import SidePort
from adapters.memory.events import MemoryEvents
from adapters.memory.host_commands import NoHostCommands
from adapters.memory.store import MemoryStore
from adapters.opentelemetry.null_tracing import NoTraces
from adapters.prometheus.api_metrics import ApiMetrics
from adapters.prometheus.exposition import BuildInfo, metrics_page, shared_metrics_page
from adapters.prometheus.fleet_collector import StockCollector
from adapters.system.call_with_timeout import BoundedCall
from adapters.system.clock import SystemClock
from adapters.system.new_key import new_key, new_serial
from adapters.system.open_files import allow_open_files
from application.access.authenticate_host import AdmitHost
from application.access.certificates import Certificates
from application.access.host_credentials import HostCredentials
from application.access.identify_by_token import IdentifyByToken
from application.access.identify_operator import IdentifyOperator
from application.access.key_cache import KnownKeys
from application.access.limit_calls import LimitCalls
from application.access.rate_limit import RateLimit
from application.admission.approve_server import ApproveServer
from application.admission.ban_server import BanServer
from application.admission.get_conflict import GetConflict
from application.admission.list_conflicts import ListConflicts
from application.admission.list_dry_run_refusals import ListWouldReject
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
from application.configuration.propagate_configuration import SpreadConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.list_join_keys import ListJoinKeys
from application.join_keys.revoke_join_key import RevokeJoinKey
from application.liveness.expire_servers import ExpireServers
from application.liveness.heartbeat_intake import Hearing
from application.liveness.heartbeat_interval import HeartbeatPace
from application.liveness.record_heartbeat import Acknowledged, Heartbeat, RecordHeartbeat
from application.operations.check_readiness import AskStore, CheckReadiness
from application.operations.clean_up_fleet import TidyFleet
from application.operations.count_fleet import TakeStock
from application.operations.relay_events import RelayEvents
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_audit import ListAudit
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.record_audit_entry import NoteAction
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
from domain.liveness import Cadence
from domain.token_bucket import TokenBucket
from entrypoints.api.oidc import make_identify_by_token, make_provider_keys
from entrypoints.api.settings import ApiSettings
from entrypoints.api.tls import make_pin_authority, read_certificate, read_certificates
from entrypoints.registration_keys import make_registration_keys
from entrypoints.settings import COMMIT, VERSION, Secret
from entrypoints.tracing import make_tracing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from adapters.oidc.jwks_cache import ProviderKeys
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
_AT_ONCE_SECONDS = 5
# Of a database, a broker and whoever scrapes, and what is read: they must not lack for connections.
_OTHER_FILES = 256
# Shorter than a scraper or a probe waits.
_WATCHERS_PATIENCE_SECONDS = 3.0

# The ways over which hosts are heard, as they are kept with each server.
_GRPC = "grpc"
_AMQP = "amqp"


def _rate_limit(per_second: int, whose: str) -> RateLimit:
    return RateLimit(TokenBucket(per_second, _AT_ONCE_SECONDS * per_second), whose)


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


def _traces(settings: ApiSettings) -> "ApiTraces | NoTraces":
    tracing = make_tracing(settings, "manmanv2-api")
    if not tracing:
        return NoTraces()
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
    page: WSGIApplication, ask_store: Callable[[], None], over_tls: bool, address: str
) -> SidePort:
    serves = partial(_serves, address, over_tls)
    return SidePort("manmanv2-api", page, CheckReadiness(serves, ask_store))


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
    traces: providers.Provider["ApiTraces | NoTraces"] = providers.ThreadSafeSingleton(
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
    admit_host: providers.Provider[AdmitHost] = providers.ThreadSafeSingleton(
        AdmitHost,
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
    known_keys: providers.Provider[KnownKeys] = providers.ThreadSafeSingleton(
        KnownKeys, store, admit_host
    )
    cadence: providers.Provider[Cadence] = providers.ThreadSafeSingleton(
        Cadence,
        interval=providers.Factory(timedelta, seconds=settings.provided.heartbeat_interval_seconds),
        max_heartbeats_per_second=settings.provided.max_heartbeats_per_second,
    )
    pace: providers.Provider[HeartbeatPace] = providers.ThreadSafeSingleton(HeartbeatPace, cadence)

    # Where several processes keep what they count; empty for one that is alone.
    shared_metrics_folder: providers.Provider[str] = providers.Object("")
    # Takes the address at which the API answers.
    side_port: providers.Provider[SidePort] = providers.Factory(
        _side_port,
        providers.ThreadSafeSingleton(
            _metrics_page,
            registry,
            shared_metrics_folder,
            providers.Factory(BuildInfo, "api", VERSION, COMMIT),
            providers.Factory(
                StockCollector,
                providers.Factory(
                    BoundedCall,
                    providers.Factory(TakeStock, store, clock, cadence),
                    _WATCHERS_PATIENCE_SECONDS,
                    providers.Object(StoreUnavailable),
                ),
            ),
        ),
        providers.ThreadSafeSingleton(
            BoundedCall,
            providers.Factory(AskStore, store),
            _WATCHERS_PATIENCE_SECONDS,
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

    hearing: providers.Provider[Hearing] = providers.ThreadSafeSingleton(Hearing)
    expire_servers: providers.Provider[ExpireServers] = providers.ThreadSafeSingleton(
        ExpireServers, store, clock, pace, hearing
    )
    sweep: providers.Provider[Callable[[], Collection[int]]] = providers.ThreadSafeSingleton(
        ApiMetrics.sweep, metrics, traces.provided.sweep.call(expire_servers)
    )
    record_heartbeat: providers.Provider[RecordHeartbeat] = providers.ThreadSafeSingleton(
        RecordHeartbeat,
        store,
        clock,
        pace,
        hearing,
        _GRPC,
        settings.provided.joining_rules,
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
        known_keys,
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
    key_looks: providers.Provider[KeyLooks] = providers.ThreadSafeSingleton(
        KeyLooks, known_keys.provided.look
    )
    joining_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, "joining", _JOINING_THREADS
    )
    host_calls: providers.Provider[HostCalls] = providers.ThreadSafeSingleton(
        HostCalls,
        providers.Factory(WorkerPool, "hosts", _HOST_THREADS),
        joining_calls,
        limit_calls,
        key_looks,
    )
    operator_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, "operators", _OPERATOR_THREADS
    )
    fetch_configuration: providers.Provider[FetchConfiguration] = providers.ThreadSafeSingleton(
        FetchConfiguration, store, clock, admit_host, settings.provided.joining_rules
    )
    service: providers.Provider[ManManService] = providers.ThreadSafeSingleton(
        ManManService,
        host_calls=host_calls,
        operator_calls=operator_calls,
        heartbeats=heartbeats,
        register_server=providers.Factory(
            RegisterServer,
            store,
            clock,
            pace,
            admit_host,
            _GRPC,
            settings.provided.joining_rules,
            certificates,
        ),
        list_servers=providers.Factory(ListServers, store, clock),
        get_server=providers.Factory(GetServer, store),
        create_server=providers.Factory(CreateServer, store, clock),
        update_server=providers.Factory(UpdateServer, store, clock, pace),
        label_server=providers.Factory(LabelServer, store, clock),
        refresh_server=providers.Factory(
            RefreshServer, store, clock, host_commands, settings.provided.enforcement
        ),
        mutual_tls_port=settings.provided.mutual_tls_port,
    )
    certificate_service: providers.Provider[CertificateService] = providers.ThreadSafeSingleton(
        CertificateService,
        host_calls=host_calls,
        renew_certificate=providers.Factory(
            RenewCertificate,
            store,
            clock,
            admit_host,
            certificates,
            settings.provided.enforcement,
        ),
        trust_bundle=trust_bundle,
    )
    spread_configuration: providers.Provider[SpreadConfiguration] = providers.ThreadSafeSingleton(
        SpreadConfiguration, store, clock
    )
    configuration_service: providers.Provider[ConfigurationService] = providers.ThreadSafeSingleton(
        ConfigurationService,
        host_calls=host_calls,
        operator_calls=operator_calls,
        fetch_configuration=fetch_configuration,
        put_configuration=providers.Factory(PutConfiguration, store, clock),
        get_configuration=providers.Factory(GetConfiguration, store),
        list_configurations=providers.Factory(ListConfigurations, store),
        delete_configuration=providers.Factory(DeleteConfiguration, store, clock),
        put_selector_configuration=providers.Factory(
            PutSelectorConfiguration, store, clock, spread_configuration
        ),
        get_selector_configuration=providers.Factory(GetSelectorConfiguration, store),
        list_selector_configurations=providers.Factory(ListSelectorConfigurations, store),
        delete_selector_configuration=providers.Factory(
            DeleteSelectorConfiguration, store, spread_configuration
        ),
        get_effective_configuration=providers.Factory(GetEffectiveConfiguration, store),
    )
    deregister_server: providers.Provider[DeregisterServer] = providers.ThreadSafeSingleton(
        DeregisterServer,
        store,
        clock,
        admit_host,
        settings.provided.enforcement,
        settings.provided.retention,
    )
    prune_servers: providers.Provider[PruneServers] = providers.ThreadSafeSingleton(
        PruneServers, store, clock, settings.provided.retention
    )
    tidy_fleet: providers.Provider[TidyFleet] = providers.ThreadSafeSingleton(
        TidyFleet,
        store,
        clock,
        prune_servers,
        expire_servers.provided.may_judge,
        settings.provided.retention.audit,
    )
    removal_service: providers.Provider[RemovalService] = providers.ThreadSafeSingleton(
        RemovalService,
        host_calls=host_calls,
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
        list_would_reject=providers.Factory(ListWouldReject, store),
    )
    make_key: providers.Provider[NewKey] = providers.Object(new_key)
    provider_keys: providers.Provider["ProviderKeys | None"] = providers.ThreadSafeSingleton(
        make_provider_keys, settings
    )
    identify_by_token: providers.Provider[IdentifyByToken | None] = providers.ThreadSafeSingleton(
        make_identify_by_token, settings, provider_keys
    )
    identify_operator: providers.Provider[IdentifyOperator] = providers.ThreadSafeSingleton(
        IdentifyOperator, store, clock, operator_key, identify_by_token
    )
    operator_access: providers.Provider[OperatorAccess] = providers.ThreadSafeSingleton(
        OperatorAccess, operator_calls, joining_calls, identify_operator, limit_calls, key_looks
    )
    join_key_service: providers.Provider[JoinKeyService] = providers.ThreadSafeSingleton(
        JoinKeyService,
        operator_calls=operator_calls,
        create_join_key=providers.Factory(
            CreateJoinKey,
            store,
            clock,
            make_key,
            admit_host,
            providers.Factory(make_pin_authority, certificates, certificate),
        ),
        list_join_keys=providers.Factory(ListJoinKeys, store),
        list_join_key_uses=providers.Factory(ListJoinKeyUses, store),
        revoke_join_key=providers.Factory(RevokeJoinKey, store, clock),
    )
    access_service: providers.Provider[AccessService] = providers.ThreadSafeSingleton(
        AccessService,
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
        CallAudit, operator_calls, providers.Factory(NoteAction, store, clock)
    )
    # What arrives over the broker.
    inboxes: providers.Provider[Sequence[Inbox]] = providers.Selector(
        settings.provided.messages_kind,
        memory=providers.Object(()),
        amqp=providers.List(
            providers.ThreadSafeSingleton(
                Inbox,
                broker,
                REPORTS,
                traces.provided.messages.call(
                    REPORTS.name,
                    providers.Factory(
                        Reports,
                        providers.Callable(
                            ApiMetrics.heartbeats,
                            metrics,
                            _AMQP,
                            providers.Factory(
                                RecordHeartbeat,
                                store,
                                clock,
                                pace,
                                hearing,
                                _AMQP,
                                settings.provided.joining_rules,
                                host_credentials,
                            ),
                        ),
                    ),
                ),
                listens=providers.Callable(
                    ApiMetrics.listens,
                    metrics,
                    providers.Callable(partial, hearing.provided.listens, _AMQP),
                ),
            ),
            providers.ThreadSafeSingleton(
                Inbox,
                broker,
                CALLS,
                providers.Factory(
                    Calls,
                    traces.provided.message.call(
                        CALLS.name,
                        providers.Factory(
                            RegisterServer,
                            store,
                            clock,
                            pace,
                            admit_host,
                            _AMQP,
                            settings.provided.joining_rules,
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
    tarpit: providers.Provider[Tarpit] = providers.ThreadSafeSingleton(Tarpit)
    gate: providers.Provider[Gate] = providers.ThreadSafeSingleton(Gate)
    rpc_handlers: providers.Provider[grpc.GenericRpcHandler] = providers.Callable(
        handlers,
        providers.List(
            service,
            configuration_service,
            admission_service,
            removal_service,
            history_service,
            join_key_service,
            certificate_service,
            access_service,
            audit_service,
        ),
        operator_access,
        gate,
        metrics.provided.call_handled,
        call_audit,
        request_bodies,
        tarpit,
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
        gate,
        shared_port=shares_port,
        with_reflection=settings.provided.grpc_reflection,
        interceptors=traces.provided.interceptors.call(),
        certificate=certificate,
        trust_bundle=trust_bundle,
        limits=connection_limits,
    )
