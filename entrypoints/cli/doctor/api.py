from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from adapters.amqp.broker import Broker
from adapters.amqp.broker_probe import AmqpBrokerProbe
from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.tls.diagnosis import unverified_tls
from adapters.sql.database_probe import SqlDatabaseProbe
from adapters.system.port_probe import SystemPortProbe
from application.doctor.api_checks import ApiChecks
from application.doctor.check_result import Cause, CheckResult
from application.doctor.run_checks import Check
from entrypoints.api.oidc import make_provider
from entrypoints.api.settings import ApiSettings, MessagesKind, StoreKind
from entrypoints.api.tls import read_certificate, read_certificates
from entrypoints.failures import ConfigurationError
from entrypoints.management_server import health_problem
from entrypoints.settings import loopback_address


def api_checks(settings: ApiSettings, random_key: str) -> Sequence[Check]:
    in_memory = settings.store_kind is StoreKind.MEMORY
    broker = Broker(settings.rabbitmq_url.reveal(), settings.rabbitmq_ca_cert_path)
    return ApiChecks(
        listen_address=settings.listen_address,
        metrics_address=settings.metrics_address,
        registration_key=settings.registration_key.reveal() if settings.registration_key else "",
        key_required=settings.registration_key_required,
        random_key=random_key,
        has_operator_key=settings.operator_key is not None,
        database=None if in_memory else SqlDatabaseProbe(settings.database_url.reveal()),
        broker=AmqpBrokerProbe(broker) if settings.messages_kind is MessagesKind.AMQP else None,
        ports=SystemPortProbe(),
        running=_running(settings),
        management_server_answers=lambda address: not health_problem(address, "manmanv2-api"),
        certificate=partial(_check_certificate, settings) if settings.speaks_tls else None,
        oidc_provider=partial(_check_provider, settings) if settings.oidc_issuer else None,
    ).checks()


def _running(settings: ApiSettings) -> GrpcApiProbe:
    address = loopback_address(settings.listen_address)
    return GrpcApiProbe(address, unverified_tls(address) if settings.speaks_tls else None)


def _check_certificate(settings: ApiSettings) -> CheckResult:
    try:
        certificate, certificates = read_certificate(settings), read_certificates(settings)
    except ConfigurationError as error:
        return CheckResult.of(error.diagnosis, Cause.SETTING)
    assert certificate
    warning = certificate.expiry_warning()
    if warning:
        return CheckResult.warning(f"the certificate {warning}", "replace it in TLS_CERT_PATH")
    warning = certificates.expiry_warning(datetime.now(UTC)) if certificates else ""
    if warning:
        return CheckResult.warning(
            f"the CA in CA_CERT_PATH {warning}", "create another one with `manmanv2 ca init`"
        )
    return CheckResult.ok(f"the certificate is {certificate.summary()}")


def _check_provider(settings: ApiSettings) -> CheckResult:
    from adapters.oidc.provider import ProviderUnusable

    try:
        keys = make_provider(settings).keys()
    except ConfigurationError as error:
        return CheckResult.of(error.diagnosis, Cause.SETTING)
    except ProviderUnusable as error:
        return CheckResult.failure(
            f"the OIDC provider {settings.oidc_issuer} sends no keys, because {error}",
            "check OIDC_ISSUER, and that the provider answers this machine",
            Cause.ENVIRONMENT,
        )
    return CheckResult.ok(f"the OIDC provider {settings.oidc_issuer} answers, keys: {len(keys)}")
