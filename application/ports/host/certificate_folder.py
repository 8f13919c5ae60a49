from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """The certificate of a host's server and its key, in PEM, and the port that accepts it."""

    server_id: int
    certificate: str = field(repr=False)
    key: str = field(repr=False)
    mutual_tls_port: int


class CertificateFolder(Protocol):
    """Where a host stores its certificate. Every call may raise OSError."""

    def read(self) -> HostCertificate | None:
        """None if none is stored. An unusable file is left in place, with a warning."""
        ...

    def write(self, certificate: HostCertificate) -> None:
        """Write completely or not at all."""
        ...
