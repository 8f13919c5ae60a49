from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from adapters.x509.certificates import UNREADABLE


@dataclass(frozen=True, slots=True)
class Description:
    """The readable fields of a certificate. `digest` is the SHA-256 of its DER form, as 64
    hexadecimal digits."""

    subject: str
    issuer: str
    names: Sequence[str]
    valid_from: datetime
    expires: datetime
    digest: str


def inspect(pem: bytes) -> Sequence[Description]:
    """Describe each certificate, in their order. Raises ValueError if there is none."""
    try:
        return list(map(_describe, x509.load_pem_x509_certificates(pem)))
    except UNREADABLE:
        raise ValueError("no readable certificate") from None


def _describe(certificate: x509.Certificate) -> Description:
    return Description(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_names(certificate),
        valid_from=certificate.not_valid_before_utc,
        expires=certificate.not_valid_after_utc,
        digest=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _names(certificate: x509.Certificate) -> Sequence[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return [str(name.value) for name in names.value]
