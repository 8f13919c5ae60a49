"""Identifies callers, limits their calls, and decides whether a call is admitted."""

from typing import TYPE_CHECKING

from dependency_injector import containers, providers

from adapters.grpc.server.call_audit import CallAudit
from adapters.grpc.server.host_call_admission import HostCallAdmission
from adapters.grpc.server.key_refresher import KeyRefresher
from adapters.grpc.server.operator_authenticator import OperatorAuthenticator
from adapters.grpc.server.server_certificate import ServerCertificate
from adapters.grpc.server.worker_pool import WorkerPool
from adapters.system.new_key import new_key, new_serial
from application.access.authenticate_host import AuthenticateHost
from application.access.certificates import Certificates
from application.access.host_credentials import HostCredentials
from application.access.identify_by_token import IdentifyByToken
from application.access.identify_operator import IdentifyOperator
from application.access.key_cache import KeyCache
from application.access.limit_calls import LimitCalls
from application.access.rate_limit import RateLimit
from application.operators.record_audit_entry import RecordAuditEntry
from application.ports.new_key import NewKey
from application.ports.registration_keys import RegistrationKeys
from domain.token_bucket import TokenBucket
from entrypoints.api.containers.storage import (
    HOST_THREADS,
    JOINING_THREADS,
    OPERATOR_THREADS,
    Storage,
)
from entrypoints.api.oidc import make_identify_by_token, make_provider_keys
from entrypoints.api.tls import read_certificate, read_certificates
from entrypoints.registration_keys import make_registration_keys
from entrypoints.settings import Secret

if TYPE_CHECKING:
    from adapters.oidc.jwks_cache import JwksCache

# A host with a thousand documents to fetch fetches as fast as it can.
_MAX_CALLS_OF_ONE_SERVER_PER_SECOND = 100
_BURST_SECONDS = 5


def _make_rate_limit(per_second: int, whose: str) -> RateLimit:
    bucket = TokenBucket(per_second=per_second, capacity=_BURST_SECONDS * per_second)
    return RateLimit(bucket=bucket, whose=whose)


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def _trust_bundle(certificates: Certificates | None) -> str:
    return certificates.authority.bundle if certificates else ""


def _trust_domain(certificates: Certificates | None) -> str:
    return certificates.trust_domain if certificates else ""


class Access(containers.DeclarativeContainer):
    # Keys, credentials and certificates.
    registration_keys: providers.Provider[RegistrationKeys] = providers.ThreadSafeSingleton(
        make_registration_keys, registration_key=Storage.settings.provided.registration_key
    )
    operator_key: providers.Provider[str | None] = providers.Callable(
        _reveal, secret=Storage.settings.provided.operator_key
    )
    make_key: providers.Provider[NewKey] = providers.Object(new_key)
    host_credentials: providers.Provider[HostCredentials] = providers.ThreadSafeSingleton(
        HostCredentials,
        store=Storage.store,
        clock=Storage.clock,
        new_serial=providers.Object(new_serial),
        lifetime=Storage.settings.provided.host_credential_lifetime,
    )
    certificates: providers.Provider[Certificates | None] = providers.ThreadSafeSingleton(
        read_certificates, settings=Storage.settings
    )
    trust_bundle: providers.Provider[str] = providers.Callable(
        _trust_bundle, certificates=certificates
    )
    trust_domain: providers.Provider[str] = providers.Callable(
        _trust_domain, certificates=certificates
    )
    certificate: providers.Provider[ServerCertificate | None] = providers.ThreadSafeSingleton(
        read_certificate, settings=Storage.settings, metrics=Storage.metrics
    )

    # Identification of callers.
    authenticate_host: providers.Provider[AuthenticateHost] = providers.ThreadSafeSingleton(
        AuthenticateHost,
        registration_keys=registration_keys,
        key_required=Storage.settings.provided.registration_key_required,
        credentials=host_credentials,
    )
    jwks_cache: providers.Provider["JwksCache | None"] = providers.ThreadSafeSingleton(
        make_provider_keys, settings=Storage.settings
    )
    identify_by_token: providers.Provider[IdentifyByToken | None] = providers.ThreadSafeSingleton(
        make_identify_by_token, settings=Storage.settings, keys=jwks_cache
    )
    identify_operator: providers.Provider[IdentifyOperator] = providers.ThreadSafeSingleton(
        IdentifyOperator,
        store=Storage.store,
        clock=Storage.clock,
        operator_key=operator_key,
        identify_by_token=identify_by_token,
    )

    # Rate limits, and the threads of calls.
    key_cache: providers.Provider[KeyCache] = providers.ThreadSafeSingleton(
        KeyCache, store=Storage.store, authenticate_host=authenticate_host
    )
    key_refresher: providers.Provider[KeyRefresher] = providers.ThreadSafeSingleton(
        KeyRefresher, refresh=key_cache.provided.refresh
    )
    limit_calls: providers.Provider[LimitCalls] = providers.ThreadSafeSingleton(
        LimitCalls,
        key_cache=key_cache,
        of_servers=providers.Factory(
            _make_rate_limit,
            per_second=_MAX_CALLS_OF_ONE_SERVER_PER_SECOND,
            whose="of this server",
        ),
        of_host_keys=providers.Factory(
            _make_rate_limit,
            per_second=Storage.settings.provided.max_registrations_per_second,
            whose="with this key",
        ),
        of_operators=providers.Factory(
            _make_rate_limit,
            per_second=Storage.settings.provided.max_operator_calls_per_second,
            whose="with this key",
        ),
        unauthenticated=providers.Factory(
            _make_rate_limit,
            per_second=Storage.settings.provided.max_unauthenticated_calls_per_second,
            whose="without a key that is known from this address",
        ),
        operator_key=operator_key,
    )
    joining_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, name="joining", threads=JOINING_THREADS
    )
    operator_calls: providers.Provider[WorkerPool] = providers.ThreadSafeSingleton(
        WorkerPool, name="operators", threads=OPERATOR_THREADS
    )
    host_call_admission: providers.Provider[HostCallAdmission] = providers.ThreadSafeSingleton(
        HostCallAdmission,
        with_credential=providers.Factory(WorkerPool, name="hosts", threads=HOST_THREADS),
        with_key=joining_calls,
        limit_calls=limit_calls,
        key_refresher=key_refresher,
    )
    operator_authenticator: providers.Provider[OperatorAuthenticator] = (
        providers.ThreadSafeSingleton(
            OperatorAuthenticator,
            operator_calls=operator_calls,
            unauthenticated_calls=joining_calls,
            identify_operator=identify_operator,
            limit_calls=limit_calls,
            key_refresher=key_refresher,
        )
    )
    call_audit: providers.Provider[CallAudit] = providers.ThreadSafeSingleton(
        CallAudit,
        operator_calls=operator_calls,
        record_audit_entry=providers.Factory(
            RecordAuditEntry, store=Storage.store, clock=Storage.clock
        ),
    )
