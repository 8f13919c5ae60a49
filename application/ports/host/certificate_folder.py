from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """What a host shows for its server: the certificate and its key, in PEM, and at which port."""

    server_id: int
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    mutual_tls_port: int


class CertificateFolder(Protocol):
    """Where a host keeps its certificate. Every call raises OSError."""

    def read(self) -> HostCertificate | None:
        """None when none is kept. What cannot be used is left alone, with a warning."""
        ...

    def write(self, certificate: HostCertificate) -> None:
        """Wholly or not at all."""
        ...
