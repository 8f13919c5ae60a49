import time
from collections.abc import Callable

from adapters.grpc.client.host.certificate_renewal import CertificateRenewal
from adapters.grpc.client.host.certificate_use import CertificateUse
from adapters.grpc.client.host.current_certificate import CurrentCertificate
from application.host.certificate_store import CertificateStore
from application.ports.host.key_pairs import KeyPairs


class Enrolment:
    """What a host does for the certificate of its server: `use` decides which certificate it
    presents, `renewal` when it requests another.

    `address` is the API's plain port, as host:port. `mutual_tls_address` replaces the mutual-TLS
    port that the API reports.
    """

    def __init__(
        self,
        address: str,
        store: CertificateStore,
        key_pairs: KeyPairs,
        mutual_tls_address: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        current = CurrentCertificate(store, monotonic)
        self.use = CertificateUse(address, current, mutual_tls_address, monotonic)
        self.renewal = CertificateRenewal(current, self.use, key_pairs, monotonic)
