from collections.abc import Callable
from dataclasses import dataclass

from application.access.certificates import Certificates
from domain.errors import CertificateNotFromOwnCA, NoCertificatesIssued


@dataclass(frozen=True)
class PinAuthority:
    """By which authority hosts may know this API: the digest of the one that issued the
    certificate that it shows now.

    Raises NoCertificatesIssued and CertificateNotFromOwnCA.
    """

    # None issues none.
    certificates: Certificates | None
    # The certificate that is shown now, in PEM, followed by those of the CAs between.
    own_chain: Callable[[], bytes]

    def __call__(self) -> str:
        if not self.certificates:
            raise NoCertificatesIssued
        authority = self.certificates.authority
        if not authority.has_issued(self.own_chain()):
            raise CertificateNotFromOwnCA
        return authority.digest
