import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from adapters.grpc.client.host.certificate_use import CertificateUse
from adapters.grpc.client.host.current_certificate import CurrentCertificate
from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.key_pairs import KeyPairs, KeyPairUnavailable, NewKeyPair
from domain.certificate_life import wait_before_renewing

_log = logging.getLogger(__name__)

_MIN_SECONDS_BETWEEN_REGISTRATIONS = 60.0


@dataclass
class CertificateRenewal:
    """When the host requests a certificate, and what it does with the answer."""

    current: CurrentCertificate
    use: CertificateUse
    key_pairs: KeyPairs
    monotonic: Callable[[], float] = time.monotonic
    # The API's mutual-TLS port by the last registration, 0 if the API issued no certificate.
    _reported_port: int = field(init=False, default=0)
    _registered_at: float = field(init=False, default=0.0)
    # Not certified yet. A request that was not answered is sent again with the same key.
    _new_pair: NewKeyPair | None = field(init=False, default=None)
    _failed_pairs: int = field(init=False, default=0)
    _next_pair_at: float = field(init=False, default=float("-inf"))
    _next_request_at: float = field(init=False, default=float("-inf"))
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(_log, "This host has a new certificate."),
    )

    def request_for_registration(self) -> bytes:
        """A signing request. Empty if the certificate is still good, or no key can be generated."""
        certificate = self.current.of_server(None)
        if certificate and not self.current.needs_renewal(certificate):
            return b""
        pair = self._key_pair()
        return pair.signing_request if pair else b""

    def registered(self, server_id: int, certificate: str, mutual_tls_port: int) -> None:
        """Take the answer to a registration: empty and 0 where the API issued no certificate."""
        self._registered_at = self.monotonic()
        self._reported_port = mutual_tls_port
        current = self.current.of_server(None)
        if certificate and mutual_tls_port:
            self._take(server_id, certificate, mutual_tls_port)
        elif current and current.server_id != server_id:
            self.current.store.clear()
        elif current and mutual_tls_port not in (0, current.mutual_tls_port):
            self.use.retry_now()
            self.current.store.save(replace(current, mutual_tls_port=mutual_tls_port))

    def may_register_again(self) -> bool:
        """Whether a registration may get the missing certificate: the last one did not ask for
        one, or the API issued none at that time."""
        waited = self.monotonic() - self._registered_at
        return not self._reported_port and waited >= _MIN_SECONDS_BETWEEN_REGISTRATIONS

    def request_for_renewal(self, server_id: int) -> bytes:
        """A signing request. Empty if no renewal is due, or no key can be generated."""
        now = self.monotonic()
        certificate = self.current.of_server(server_id)
        is_due = self.current.needs_renewal(certificate) if certificate else self._reported_port > 0
        if not is_due or now < self._next_request_at:
            return b""
        pair = self._key_pair()
        if pair is None:
            return b""
        self.current.renewal_attempts += 1
        self._next_request_at = now + wait_before_renewing(self.current.renewal_attempts)
        return pair.signing_request

    def renewed(self, server_id: int, certificate: str) -> None:
        """Take the answer to a renewal."""
        current = self.current.of_server(server_id)
        port = self._reported_port or (current.mutual_tls_port if current else 0)
        if port:
            self._take(server_id, certificate, port)

    def not_renewed(self, reason: str) -> None:
        """Log that there is no new certificate. `reason` ends with a full stop."""
        self._failures.failed(
            f"This host could not get a new certificate: {reason} It tries again with later"
            " heartbeats."
        )

    def _take(self, server_id: int, certificate: str, port: int) -> None:
        pair, self._new_pair = self._new_pair, None
        if pair is None:
            # The host requested no certificate, so it has no key for this one.
            return
        try:
            self.current.replace(HostCertificate(server_id, certificate, pair.key, port))
        except ValueError:
            self.not_renewed("the API sent a certificate that cannot be read.")
            return
        self.use.retry_now()
        self._failures.recovered()

    def _key_pair(self) -> NewKeyPair | None:
        if self._new_pair is None and self.monotonic() >= self._next_pair_at:
            try:
                self._new_pair = self.key_pairs()
            except KeyPairUnavailable as error:
                self._failed_pairs += 1
                wait = wait_before_renewing(self._failed_pairs)
                self._next_pair_at = self.monotonic() + wait
                self.not_renewed(f"no key can be generated, {error}.")
            else:
                self._failed_pairs = 0
        return self._new_pair
