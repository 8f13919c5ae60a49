"""The CA of an API in files, and certificates that it issued or could have issued."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapters.x509.authority import X509Authority, read_authority
from adapters.x509.certificates import as_pem, key_as_pem, new_key
from adapters.x509.create_ca import create_ca
from adapters.x509.new_signing_request import new_signing_request
from tests.support.canary_secrets import canary

A_DAY = timedelta(days=1)
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class PresentedCertificate:
    """A certificate and key that a client presents, in PEM."""

    certificate: str
    key: str

    @property
    def name(self) -> str:
        """The last part of the URI in the certificate."""
        certificate = x509.load_pem_x509_certificate(self.certificate.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return uri.rpartition("/")[2]

    def write(self, file: Path) -> Path:
        file.write_text(self.certificate + self.key)
        return file

    def credentials(self, root: bytes) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(root, self.key.encode(), self.certificate.encode())


class Site:
    """The files of an API's operator: ca.crt, ca.key, tls.crt and tls.key."""

    def __init__(self, folder: Path, name: str = "Our CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file, self.ca_key, self.tls_cert, self.tls_key = (
            folder / name for name in ("ca.crt", "ca.key", "tls.crt", "tls.key")
        )
        certificate, key = create_ca(name, 10 * 365 * A_DAY)
        self.ca_file.write_text(certificate)
        # Text before a key in a PEM file is ignored; this mark shows where the file leaked.
        self.ca_key.write_text(f"{canary('key of the authority')}\n{key}")
        self.issue("127.0.0.1", "localhost")

    @property
    def authority(self) -> X509Authority:
        return read_authority(self.ca_file, self.ca_key)

    def issue(self, *names: str, by: Site | None = None) -> None:
        """Issue a new certificate for the API."""
        certificate, key = (by or self).authority.issue_to_api(names, 90 * A_DAY)
        self.tls_key.write_text(key)
        self.tls_cert.write_text(certificate)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "CA_CERT_PATH": str(self.ca_file),
            "CA_KEY_PATH": str(self.ca_key),
            "TLS_CERT_PATH": str(self.tls_cert),
            "TLS_KEY_PATH": str(self.tls_key),
        }

    def gives(
        self,
        uris: Iterable[str] = (),
        *,
        use: x509.ObjectIdentifier = CLIENT,
        expired: bool = False,
    ) -> PresentedCertificate:
        """A certificate that the API would never issue, with these URIs or without any."""
        key, authority = new_key(), self.authority
        if expired:
            authority = replace(authority, now=lambda: datetime.now(UTC) - 2 * A_DAY)
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
        names = names or [x509.DNSName("x")]
        issued = authority._issued(key.public_key(), "somebody", names, use, A_DAY)
        return PresentedCertificate(as_pem(issued), key_as_pem(key))


def asked(issue: Callable[[bytes], str]) -> PresentedCertificate:
    """The certificate that `issue` returns for a new signing request, with its key."""
    key, request = new_signing_request()
    return PresentedCertificate(issue(request), key)


def reaches(address: str, root: bytes, presented: PresentedCertificate | None) -> bool:
    """Whether a client with this certificate can make a call over TLS."""
    credentials = presented.credentials(root) if presented else grpc.ssl_channel_credentials(root)
    with closing(grpc.secure_channel(address, credentials)) as channel:
        try:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            check(b"", timeout=120)
        except grpc.RpcError:
            return False
    return True
