from collections.abc import Callable
from dataclasses import dataclass

from application.access.certificates import Certificates
from domain.errors import CertificateNotFromOwnCA, NoCertificatesIssued


@dataclass(frozen=True)
class PinAuthority:
    """The digest of the API's certificate authority, which hosts can verify this API with.

    Raises NoCertificatesIssued, and CertificateNotFromOwnCA if that authority did not issue the
    API's present certificate.
    """

    # None if the API issues no certificates.
    certificates: Certificates | None
    # Returns the API's present certificate and its intermediate CAs, in PEM.
    own_chain: Callable[[], bytes]

    def __call__(self) -> str:
        if not self.certificates:
            raise NoCertificatesIssued
        authority = self.certificates.authority
        if not authority.has_issued(self.own_chain()):
            raise CertificateNotFromOwnCA
        return authority.digest
