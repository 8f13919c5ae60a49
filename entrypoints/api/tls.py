from adapters.grpc.server.server_certificate import CertificateUnusable, ServerCertificate
from adapters.prometheus.api_metrics import ApiMetrics
from application.access.certificates import Certificates
from application.join_keys.pin_authority import PinAuthority
from entrypoints.api.settings import ApiSettings
from entrypoints.failures import ConfigurationError


def read_certificate(
    settings: ApiSettings, metrics: ApiMetrics | None = None
) -> ServerCertificate | None:
    """None without TLS. Raises ConfigurationError."""
    if settings.tls_cert_path is None or settings.tls_key_path is None:
        return None
    try:
        certificate = ServerCertificate(settings.tls_cert_path, settings.tls_key_path)
    except CertificateUnusable as error:
        raise ConfigurationError.of(error.diagnosis) from None
    if metrics:
        certificate.on_new_expiry = metrics.certificate_expires()
        certificate.on_new_expiry(certificate.current.facts.expires)
    return certificate


def read_certificates(settings: ApiSettings) -> Certificates | None:
    """None if the API issues no certificates. Raises ConfigurationError."""
    if settings.ca_cert_path is None or settings.ca_key_path is None:
        return None
    # Imported late: an API without a CA saves 12 MB.
    from adapters.x509.authority import AuthorityUnusable, read_authority

    try:
        authority = read_authority(settings.ca_cert_path, settings.ca_key_path)
    except AuthorityUnusable as error:
        raise ConfigurationError.of(error.diagnosis) from None
    return Certificates(authority, settings.trust_domain, settings.host_certificate_lifetime)


def make_pin_authority(
    certificates: Certificates | None, certificate: ServerCertificate | None
) -> PinAuthority:
    return PinAuthority(certificates, lambda: certificate.current.chain if certificate else b"")
