from datetime import datetime, timedelta
from typing import Protocol


class AuthorityExpired(Exception):
    """The CA's own certificate has expired, so no peer would trust a certificate that it issues.

    The message is a sentence that says what to do.
    """


class CertificateAuthority(Protocol):
    """Issues certificates that identify clients."""

    @property
    def bundle(self) -> str:
        """Its own certificates in PEM, with which the certificates it issues are verified."""
        ...

    @property
    def digest(self) -> str:
        """The SHA-256 of the issuing certificate in DER, as 64 hexadecimal digits."""
        ...

    @property
    def expires_at(self) -> datetime:
        """The time after which no certificate that it issued is valid."""
        ...

    def has_issued(self, chain: bytes) -> bool:
        """Whether it issued the first of these certificates in PEM, directly or through the
        intermediate CAs that follow."""
        ...

    def check(self, signing_request: bytes) -> None:
        """Raise InvalidField unless this is a PKCS #10 request in DER, signed with its own key, and
        the key is strong enough."""
        ...

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        """Issue a client's certificate, in PEM, followed by the intermediate CAs.

        Only the public key is taken from the request. The certificate expires no later than the
        authority's own. Raises InvalidField and AuthorityExpired.
        """
        ...
