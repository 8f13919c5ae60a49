import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from adapters.grpc.client.host.current_certificate import CurrentCertificate
from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.certificate_folder import HostCertificate

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS = 2.0
# How long the mutual-TLS port is avoided after it did not serve this host.
_AVOID_SECONDS = 60.0


@dataclass
class CertificateUse:
    """Which certificate the host presents, and where.

    `address` is the API's plain port, as host:port. The API reports its mutual-TLS port with each
    certificate; `mutual_tls_address` replaces it if set.
    """

    address: str
    current: CurrentCertificate
    mutual_tls_address: str = ""
    monotonic: Callable[[], float] = time.monotonic
    _avoided_until: float = field(init=False, default=float("-inf"))
    _logged_address: str = field(init=False, default="")
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "The API accepts this host's certificate again."
        ),
    )

    def certificate_for(self, server_id: int | None) -> HostCertificate | None:
        """The certificate to present in a call for this server, or in a registration (None).

        None where the call goes to the API's plain port.
        """
        certificate = self.current.of_server(server_id)
        if certificate is None or self.monotonic() < self._avoided_until:
            return None
        return certificate if self.current.is_valid(certificate) else None

    def address_of(self, certificate: HostCertificate) -> str:
        """host:port of the API's mutual-TLS port."""
        host = self.address.rpartition(":")[0]
        return self.mutual_tls_address or f"{host}:{certificate.mutual_tls_port}"

    def is_reachable(self, certificate: HostCertificate) -> bool:
        """Whether the port takes connections, within two seconds for each of its addresses."""
        host, _, port = self.address_of(certificate).rpartition(":")
        try:
            connection = socket.create_connection(
                (host.strip("[]"), int(port)), _CONNECT_TIMEOUT_SECONDS
            )
        except OSError:
            return False
        connection.close()
        return True

    def accepted(self, certificate: HostCertificate) -> None:
        """The mutual-TLS port answered a call."""
        self.current.accepted()
        address = self.address_of(certificate)
        if address != self._logged_address:
            self._logged_address = address
            _log.info("This host presents its certificate at %s.", address)
        self._failures.recovered()

    def timed_out(self, certificate: HostCertificate) -> None:
        """The mutual-TLS port took a connection and did not answer in time."""
        self._avoid(
            f"Nothing answers at {self.address_of(certificate)}, where this host presents its"
            " certificate, so it calls without one: check what listens there, or set"
            " API_MTLS_ADDRESS to the API's mutual-TLS address."
        )

    def used_plain_port(
        self, certificate: HostCertificate, *, reached_port: bool, is_served: bool
    ) -> None:
        """The plain port answered a call that the mutual-TLS port did not serve.

        `is_served` is False where the plain port required a certificate. The caller reports that.
        """
        self.current.is_refused = reached_port
        if not is_served:
            return
        address = self.address_of(certificate)
        if not reached_port:
            self._avoid(
                f"The API cannot be reached at {address}, where this host presents its certificate,"
                " so it calls without one: open that port, or set API_MTLS_ADDRESS to the API's"
                " mutual-TLS address."
            )
            return
        self._avoid(
            f"The API does not accept this host's certificate at {address}, so it calls without one"
            " and requests a new one. If this continues, check whether a proxy ends TLS there, and"
            " set API_MTLS_ADDRESS to an address without such a proxy."
        )

    def why_unused(self, server_id: int) -> str:
        """Why a call that requires a certificate went without one, as the end of a sentence.

        The next call tries the mutual-TLS port again.
        """
        self.retry_now()
        certificate = self.current.of_server(server_id)
        if certificate:
            return (
                "this host could not present its certificate at"
                f" {self.address_of(certificate)}: open that port, or set API_MTLS_ADDRESS to the"
                " API's mutual-TLS address"
            )
        return "this host has none yet: earlier log lines say why"

    def retry_now(self) -> None:
        """Let the next call try the mutual-TLS port."""
        self._avoided_until = float("-inf")

    def _avoid(self, sentence: str) -> None:
        self._avoided_until = self.monotonic() + _AVOID_SECONDS
        self._failures.failed(sentence)
