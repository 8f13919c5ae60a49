from datetime import datetime, timedelta
from typing import Protocol


class AuthorityExpired(Exception):
    """The authority's own certificate is not valid any more, so that nobody would trust another.

    The message is a sentence that says what to do.
    """


class CertificateAuthority(Protocol):
    """Issues certificates by which clients are known."""

    @property
    def bundle(self) -> str:
        """Its own certificates, in PEM: what it issues is trusted by these."""
        ...

    @property
    def digest(self) -> str:
        """The SHA-256 of the certificate that issues, in DER, as 64 hexadecimal digits."""
        ...

    @property
    def expires_at(self) -> datetime:
        """After which nothing that it issued is valid."""
        ...

    def has_issued(self, chain: bytes) -> bool:
        """Whether the first of these certificates, in PEM, is from it, by way of those CAs maybe
        that stand behind it."""
        ...

    def check(self, signing_request: bytes) -> None:
        """Raise InvalidField unless it is a PKCS #10 request in DER, signed by the key that is in
        it, and that key is one to be trusted."""
        ...

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        """A client's certificate in PEM, followed by those of the CAs between.

        It says nothing of what the request asks for, but has its public key. It ends with the
        authority's own where that ends sooner. Raises InvalidField and AuthorityExpired.
        """
        ...
