from datetime import UTC, datetime, timedelta

from cryptography import x509

from adapters.x509.certificates import (
    as_pem,
    key_as_pem,
    key_usage,
    name_of,
    new_key,
    signature_hash,
)
from domain.certificate_life import BACKDATED


def create_ca(name: str, lifetime: timedelta) -> tuple[str, str]:
    """The certificate and the key in PEM of a CA that can issue to servers and clients, but not to
    other CAs.

    Raises ValueError for an empty name, or one of more than 64 characters.
    """
    key, now = new_key(), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name_of(name))
        .issuer_name(name_of(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(issues=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, signature_hash(key))
    )
    return as_pem(certificate), key_as_pem(key)
