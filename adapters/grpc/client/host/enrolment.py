import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from adapters.grpc.tls.certificate import validity_of
from application.host.certificate_store import CertificateStore
from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.key_pairs import KeyPairs, KeyPairUnavailable, NewKeyPair
from domain.certificate_life import CertificateLife, wait_before_renewing

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 2.0
# How long the port for certificates is left alone once it did not serve.
_AVOIDED_SECONDS = 60.0
_MIN_BETWEEN_REGISTRATIONS = 60.0


def _renewal_trouble() -> TransientFailureLog:
    return TransientFailureLog(_log, "This host has a new certificate.")


def _way_trouble() -> TransientFailureLog:
    return TransientFailureLog(_log, "This host is served by its certificate again.")


@dataclass
class Enrolment:
    """What a host does for the certificate of its server: which it shows, where, and when it asks
    for another.

    `address` is the API's, host:port. Those who show a certificate are served at the port that the
    API tells, or at `mutual_tls_address` where that is set.
    """

    address: str
    held: CertificateStore
    key_pairs: KeyPairs
    mutual_tls_address: str = ""
    monotonic: Callable[[], float] = time.monotonic

    _told_port: int = field(init=False, default=0)
    _registered: float = field(init=False, default=0.0)
    # Of the certificate of that text.
    _life: tuple[str, CertificateLife] | None = field(init=False, repr=False, default=None)
    # Not used yet: a request that was not answered is sent again.
    _new_pair: NewKeyPair | None = field(init=False, default=None)
    _failed_pairs: int = field(init=False, default=0)
    _next_pair: float = field(init=False, default=float("-inf"))
    _attempts: int = field(init=False, default=0)
    _next_attempt: float = field(init=False, default=float("-inf"))
    _avoided_until: float = field(init=False, default=float("-inf"))
    _is_refused: bool = field(init=False, default=False)
    _said_where: str = field(init=False, default="")
    _renewal_trouble: TransientFailureLog = field(init=False, default_factory=_renewal_trouble)
    _way_trouble: TransientFailureLog = field(init=False, default_factory=_way_trouble)

    # What is shown, and where

    def shown(self, server_id: int | None) -> HostCertificate | None:
        """The certificate to show in a call for this server, or in a registration (None); none
        where the call goes to the API's usual port."""
        now = self.monotonic()
        certificate = self._held_for(server_id)
        if certificate is None or now < self._avoided_until:
            return None
        life = self._life_of(certificate)
        return certificate if life and not life.is_over(now) else None

    def where(self, certificate: HostCertificate) -> str:
        """host:port."""
        host = self.address.rpartition(":")[0]
        return self.mutual_tls_address or f"{host}:{certificate.mutual_tls_port}"

    def is_reached(self, certificate: HostCertificate) -> bool:
        """Whether anybody takes connections there, within two seconds for each of its addresses."""
        host, _, port = self.where(certificate).rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
        except OSError:
            return False
        return True

    def served(self, certificate: HostCertificate) -> None:
        """It was taken."""
        self._attempts, self._is_refused = 0, False
        where = self.where(certificate)
        if where != self._said_where:
            self._said_where = where
            _log.info("This host shows its certificate at %s.", where)
        self._way_trouble.ends()

    def hung(self, certificate: HostCertificate) -> None:
        """There was no answer in time where it is shown."""
        self._avoid(
            f"Nobody answers at {self.where(certificate)}, where this host shows its certificate,"
            " so it speaks without: see who takes connections there, or set API_MTLS_ADDRESS to"
            " where the API does."
        )

    def fell_back(self, certificate: HostCertificate, *, is_reached: bool, is_served: bool) -> None:
        """The usual port answered in the place of the other, and served or misses a certificate,
        which is a trouble of its own."""
        where, self._is_refused = self.where(certificate), is_reached
        if not is_served:
            return
        if not is_reached:
            self._avoid(
                f"The API cannot be reached at {where}, where this host shows its certificate, so"
                " it speaks without: let that port through, or set API_MTLS_ADDRESS to where it is."
            )
            return
        self._avoid(
            f"The API does not take this host's certificate at {where}, so it speaks without and"
            " asks for another one. If that goes on, see whether a proxy ends TLS there, and"
            " set API_MTLS_ADDRESS to where none does."
        )

    def why_unused(self, server_id: int) -> str:
        """Told that only those are served who show one: what is in the way. And it is tried again
        with the next call."""
        self._avoided_until = float("-inf")
        certificate = self._held_for(server_id)
        if certificate:
            return (
                f"this host is not served at {self.where(certificate)}, where it shows its own: let"
                " that port through, or set API_MTLS_ADDRESS to where it is"
            )
        return "this host has none yet: what was logged before says why"

    def may_register_again(self) -> bool:
        """Whether a registration may be what is missing: the last one asked for no certificate, or
        the API issued none then."""
        waited = self.monotonic() - self._registered
        return not self._told_port and waited >= _MIN_BETWEEN_REGISTRATIONS

    # How another one is got

    def request_for_registration(self) -> bytes:
        """Empty where there is a certificate that will do, or no key can be made."""
        certificate = self._held_for(None)
        if certificate and not self._wants_another(certificate):
            return b""
        pair = self._pair()
        return pair.signing_request if pair else b""

    def joined(self, server_id: int, certificate: str, mutual_tls_port: int) -> None:
        """What a registration was answered with; empty and 0 where no certificate is issued."""
        self._registered = self.monotonic()
        self._told_port = mutual_tls_port
        held = self._held_for(None)
        if certificate and mutual_tls_port:
            self._take(server_id, certificate, mutual_tls_port)
        elif held and held.server_id != server_id:
            self.held.drop()
        elif held and mutual_tls_port not in (0, held.mutual_tls_port):
            self._avoided_until = float("-inf")
            self.held.hold(replace(held, mutual_tls_port=mutual_tls_port))

    def request_for_renewal(self, server_id: int) -> bytes:
        """Empty where it is not time for it."""
        now = self.monotonic()
        certificate = self._held_for(server_id)
        wanted = self._wants_another(certificate) if certificate else self._told_port > 0
        if not wanted or now < self._next_attempt:
            return b""
        pair = self._pair()
        if pair is None:
            return b""
        self._attempts += 1
        self._next_attempt = now + wait_before_renewing(self._attempts)
        return pair.signing_request

    def renewed(self, server_id: int, certificate: str) -> None:
        held = self._held_for(server_id)
        port = self._told_port or (held.mutual_tls_port if held else 0)
        if port:
            self._take(server_id, certificate, port)

    def not_renewed(self, why: str) -> None:
        """`why` is a sentence."""
        self._renewal_trouble.failed(
            f"This host gets no new certificate: {why} It asks again with later heartbeats."
        )

    def _take(self, server_id: int, certificate: str, port: int) -> None:
        pair, self._new_pair = self._new_pair, None
        try:
            valid_from, expires = validity_of(certificate)
        except ValueError:
            self.not_renewed("The API answered with one that cannot be read.")
            return
        if pair is None:
            return
        life = CertificateLife.just_issued(valid_from, expires, self.monotonic())
        self._life = (certificate, life)
        self._is_refused, self._avoided_until = False, float("-inf")
        self.held.hold(HostCertificate(server_id, certificate, pair.key, port))
        self._renewal_trouble.ends()

    def _held_for(self, server_id: int | None) -> HostCertificate | None:
        current = self.held.current
        return current if current and server_id in (None, current.server_id) else None

    def _wants_another(self, certificate: HostCertificate) -> bool:
        life = self._life_of(certificate)
        return life is None or self._is_refused or life.is_half_over(self.monotonic())

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

    def _pair(self) -> NewKeyPair | None:
        if self._new_pair is None and self.monotonic() >= self._next_pair:
            try:
                self._new_pair = self.key_pairs()
            except KeyPairUnavailable as error:
                self._failed_pairs += 1
                self._next_pair = self.monotonic() + wait_before_renewing(self._failed_pairs)
                self.not_renewed(f"no key for it can be made, {error}.")
            else:
                self._failed_pairs = 0
        return self._new_pair

    def _avoid(self, sentence: str) -> None:
        self._avoided_until = self.monotonic() + _AVOIDED_SECONDS
        self._way_trouble.failed(sentence)
