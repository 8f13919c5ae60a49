"""The use cases, behind the gRPC services that call them."""

from concurrent.futures import ThreadPoolExecutor

from dependency_injector import containers, providers

from adapters.grpc.server.group_commit import GroupCommit
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
from application.liveness.record_heartbeat import Acknowledged, Heartbeat, RecordHeartbeat
from application.operations.clean_up_fleet import CleanUpFleet
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_audit import ListAudit
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.revoke_operator_key import RevokeOperatorKey
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
from entrypoints.api.containers.access import Access
from entrypoints.api.containers.messaging import Messaging
from entrypoints.api.containers.storage import Storage
from entrypoints.api.tls import make_pin_authority

# The transport of servers that use gRPC, as the store records it.
_GRPC = "grpc"


def _make_heartbeat_writer() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="heartbeats")


class Services(containers.DeclarativeContainer):
    # The calls of hosts.
    record_heartbeat: providers.Provider[RecordHeartbeat] = providers.ThreadSafeSingleton(
        RecordHeartbeat,
        store=Storage.store,
        clock=Storage.clock,
        heartbeat_interval=Storage.heartbeat_interval,
        heartbeat_intake=Storage.heartbeat_intake,
        via=_GRPC,
        rules=Storage.settings.provided.registration_rules,
        credentials=Access.host_credentials,
    )
    heartbeat_writer: providers.Provider[ThreadPoolExecutor] = providers.ThreadSafeSingleton(
        _make_heartbeat_writer
    )
    heartbeats: providers.Provider[GroupCommit[Heartbeat, Acknowledged]] = (
        providers.ThreadSafeSingleton(
            GroupCommit,
            write=Storage.traces.provided.heartbeats.call(
                record=Storage.metrics.provided.heartbeats.call(via=_GRPC, record=record_heartbeat)
            ),
            executor=heartbeat_writer,
        )
    )
    fetch_configuration: providers.Provider[FetchConfiguration] = providers.ThreadSafeSingleton(
        FetchConfiguration,
        store=Storage.store,
        clock=Storage.clock,
        authenticate_host=Access.authenticate_host,
        rules=Storage.settings.provided.registration_rules,
    )
    deregister_server: providers.Provider[DeregisterServer] = providers.ThreadSafeSingleton(
        DeregisterServer,
        store=Storage.store,
        clock=Storage.clock,
        authenticate_host=Access.authenticate_host,
        enforcement=Storage.settings.provided.enforcement,
        retention=Storage.settings.provided.retention,
    )

    # Use cases that also run in the background.
    propagate_configuration: providers.Provider[PropagateConfiguration] = (
        providers.ThreadSafeSingleton(
            PropagateConfiguration, store=Storage.store, clock=Storage.clock
        )
    )
    prune_servers: providers.Provider[PruneServers] = providers.ThreadSafeSingleton(
        PruneServers,
        store=Storage.store,
        clock=Storage.clock,
        retention=Storage.settings.provided.retention,
    )
    clean_up_fleet: providers.Provider[CleanUpFleet] = providers.ThreadSafeSingleton(
        CleanUpFleet,
        store=Storage.store,
        clock=Storage.clock,
        prune_servers=prune_servers,
        can_expire=Storage.expire_servers.provided.can_expire,
        audit_retention=Storage.settings.provided.retention.audit,
    )

    host_service: providers.Provider[HostService] = providers.ThreadSafeSingleton(
        HostService,
        host_call_admission=Access.host_call_admission,
        heartbeats=heartbeats,
        register_server=providers.Factory(
            RegisterServer,
            store=Storage.store,
            clock=Storage.clock,
            heartbeat_interval=Storage.heartbeat_interval,
            authenticate_host=Access.authenticate_host,
            via=_GRPC,
            rules=Storage.settings.provided.registration_rules,
            certificates=Access.certificates,
        ),
        mutual_tls_port=Storage.settings.provided.mutual_tls_port,
    )
    server_service: providers.Provider[ServerService] = providers.ThreadSafeSingleton(
        ServerService,
        operator_calls=Access.operator_calls,
        list_servers=providers.Factory(ListServers, store=Storage.store, clock=Storage.clock),
        get_server=providers.Factory(GetServer, store=Storage.store),
        create_server=providers.Factory(CreateServer, store=Storage.store, clock=Storage.clock),
        update_server=providers.Factory(
            UpdateServer,
            store=Storage.store,
            clock=Storage.clock,
            heartbeat_interval=Storage.heartbeat_interval,
        ),
        label_server=providers.Factory(LabelServer, store=Storage.store, clock=Storage.clock),
        refresh_server=providers.Factory(
            RefreshServer,
            store=Storage.store,
            clock=Storage.clock,
            host_commands=Messaging.host_commands,
            enforcement=Storage.settings.provided.enforcement,
        ),
    )
    certificate_service: providers.Provider[CertificateService] = providers.ThreadSafeSingleton(
        CertificateService,
        host_call_admission=Access.host_call_admission,
        renew_certificate=providers.Factory(
            RenewCertificate,
            store=Storage.store,
            clock=Storage.clock,
            authenticate_host=Access.authenticate_host,
            certificates=Access.certificates,
            enforcement=Storage.settings.provided.enforcement,
        ),
        trust_bundle=Access.trust_bundle,
    )
    configuration_service: providers.Provider[ConfigurationService] = providers.ThreadSafeSingleton(
        ConfigurationService,
        host_call_admission=Access.host_call_admission,
        operator_calls=Access.operator_calls,
        fetch_configuration=fetch_configuration,
        put_configuration=providers.Factory(
            PutConfiguration, store=Storage.store, clock=Storage.clock
        ),
        get_configuration=providers.Factory(GetConfiguration, store=Storage.store),
        list_configurations=providers.Factory(ListConfigurations, store=Storage.store),
        delete_configuration=providers.Factory(
            DeleteConfiguration, store=Storage.store, clock=Storage.clock
        ),
        put_selector_configuration=providers.Factory(
            PutSelectorConfiguration,
            store=Storage.store,
            clock=Storage.clock,
            propagate=propagate_configuration,
        ),
        get_selector_configuration=providers.Factory(GetSelectorConfiguration, store=Storage.store),
        list_selector_configurations=providers.Factory(
            ListSelectorConfigurations, store=Storage.store
        ),
        delete_selector_configuration=providers.Factory(
            DeleteSelectorConfiguration, store=Storage.store, propagate=propagate_configuration
        ),
        get_effective_configuration=providers.Factory(
            GetEffectiveConfiguration, store=Storage.store
        ),
    )
    removal_service: providers.Provider[RemovalService] = providers.ThreadSafeSingleton(
        RemovalService,
        host_call_admission=Access.host_call_admission,
        operator_calls=Access.operator_calls,
        deregister_server=deregister_server,
        delete_server=providers.Factory(
            DeleteServer,
            store=Storage.store,
            clock=Storage.clock,
            enforcement=Storage.settings.provided.enforcement,
            retention=Storage.settings.provided.retention,
        ),
        list_deleted_servers=providers.Factory(ListDeletedServers, store=Storage.store),
        restore_server=providers.Factory(RestoreServer, store=Storage.store, clock=Storage.clock),
        prune_servers=prune_servers,
    )
    history_service: providers.Provider[HistoryService] = providers.ThreadSafeSingleton(
        HistoryService,
        operator_calls=Access.operator_calls,
        explain_server=providers.Factory(
            ExplainServer,
            store=Storage.store,
            clock=Storage.clock,
            retention=Storage.settings.provided.retention,
        ),
        merge_servers=providers.Factory(
            MergeServers,
            store=Storage.store,
            clock=Storage.clock,
            retention=Storage.settings.provided.retention,
        ),
    )
    admission_service: providers.Provider[AdmissionService] = providers.ThreadSafeSingleton(
        AdmissionService,
        operator_calls=Access.operator_calls,
        approve_server=providers.Factory(ApproveServer, store=Storage.store, clock=Storage.clock),
        reject_server=providers.Factory(RejectServer, store=Storage.store, clock=Storage.clock),
        ban_server=providers.Factory(BanServer, store=Storage.store, clock=Storage.clock),
        list_conflicts=providers.Factory(ListConflicts, store=Storage.store),
        get_conflict=providers.Factory(GetConflict, store=Storage.store),
        resolve_conflict=providers.Factory(
            ResolveConflict,
            store=Storage.store,
            clock=Storage.clock,
            retention=Storage.settings.provided.retention,
        ),
        list_dry_run_refusals=providers.Factory(ListDryRunRefusals, store=Storage.store),
    )
    join_key_service: providers.Provider[JoinKeyService] = providers.ThreadSafeSingleton(
        JoinKeyService,
        operator_calls=Access.operator_calls,
        create_join_key=providers.Factory(
            CreateJoinKey,
            store=Storage.store,
            clock=Storage.clock,
            new_key=Access.make_key,
            authenticate_host=Access.authenticate_host,
            pin_authority=providers.Factory(
                make_pin_authority,
                certificates=Access.certificates,
                certificate=Access.certificate,
            ),
        ),
        list_join_keys=providers.Factory(ListJoinKeys, store=Storage.store),
        list_join_key_uses=providers.Factory(ListJoinKeyUses, store=Storage.store),
        revoke_join_key=providers.Factory(RevokeJoinKey, store=Storage.store, clock=Storage.clock),
    )
    operator_key_service: providers.Provider[OperatorKeyService] = providers.ThreadSafeSingleton(
        OperatorKeyService,
        operator_calls=Access.operator_calls,
        create_operator_key=providers.Factory(
            CreateOperatorKey, store=Storage.store, clock=Storage.clock, new_key=Access.make_key
        ),
        create_operator_certificate=providers.Factory(
            CreateOperatorCertificate,
            store=Storage.store,
            clock=Storage.clock,
            new_key=Access.make_key,
            certificates=Access.certificates,
        ),
        list_operator_keys=providers.Factory(ListOperatorKeys, store=Storage.store),
        revoke_operator_key=providers.Factory(
            RevokeOperatorKey, store=Storage.store, clock=Storage.clock
        ),
    )
    audit_service: providers.Provider[AuditService] = providers.ThreadSafeSingleton(
        AuditService,
        operator_calls=Access.operator_calls,
        list_audit=providers.Factory(ListAudit, store=Storage.store),
    )
