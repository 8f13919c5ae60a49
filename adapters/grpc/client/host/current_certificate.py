import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.grpc.tls.certificate import validity_of
from application.host.certificate_store import CertificateStore
from application.ports.host.certificate_folder import HostCertificate
from domain.certificate_life import CertificateLife


@dataclass
class CurrentCertificate:
    """The host's certificate, its lifetime, and whether the API accepts it."""

    store: CertificateStore
    monotonic: Callable[[], float] = time.monotonic
    # The mutual-TLS port took a connection, but did not serve this certificate.
    is_refused: bool = field(init=False, default=False)
    # Renewals that were requested since the API last accepted a certificate.
    renewal_attempts: int = field(init=False, default=0)
    # The lifetime of the certificate with that PEM text.
    _life: tuple[str, CertificateLife] | None = field(init=False, repr=False, default=None)

    def of_server(self, server_id: int | None) -> HostCertificate | None:
        """The stored certificate; None if it is another server's. A `server_id` of None means
        any."""
        current = self.store.current
        return current if current and server_id in (None, current.server_id) else None

    def is_valid(self, certificate: HostCertificate) -> bool:
        life = self._life_of(certificate)
        return life is not None and not life.is_over(self.monotonic())

    def needs_renewal(self, certificate: HostCertificate) -> bool:
        """Half of its lifetime is over, the API refused it, or it cannot be read."""
        life = self._life_of(certificate)
        return life is None or self.is_refused or life.is_half_over(self.monotonic())

    def accepted(self) -> None:
        self.renewal_attempts, self.is_refused = 0, False

    def replace(self, certificate: HostCertificate) -> None:
        """Take a certificate that the API has just issued. Raises ValueError if it cannot be
        read."""
        valid_from, expires = validity_of(certificate.certificate)
        life = CertificateLife.just_issued(valid_from, expires, self.monotonic())
        self._life = (certificate.certificate, life)
        self.is_refused = False
        self.store.save(certificate)

    def _life_of(self, certificate: HostCertificate) -> CertificateLife | None:
        """None for a certificate that cannot be read."""
        if self._life is None or self._life[0] != certificate.certificate:
            try:
                valid_from, expires = validity_of(certificate.certificate)
            except ValueError:
                return None
            life = CertificateLife.loaded(valid_from, expires, datetime.now(UTC), self.monotonic())
            self._life = (certificate.certificate, life)
        return self._life[1]
