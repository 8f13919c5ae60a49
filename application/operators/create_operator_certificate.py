from dataclasses import dataclass
from datetime import timedelta

from application.access.certificates import Certificates
from application.ports.clock import Clock
from application.ports.new_key import NewKey
from application.ports.store.store import Store
from domain.errors import NoCertificatesIssued
from domain.keys import OPERATOR_CERTIFICATE
from domain.operator_key import OperatorKey, check_key_name
from domain.role import Role

DEFAULT_LIFETIME = timedelta(days=90)


@dataclass(frozen=True)
class CreateOperatorCertificate:
    """Issue a certificate that identifies an operator.

    It is stored like an operator key, so that its role and validity are looked up with each call.
    Raises InvalidField, NoCertificatesIssued and AuthorityExpired.
    """

    store: Store
    clock: Clock
    new_key: NewKey
    # None if the API issues no certificates.
    certificates: Certificates | None

    def __call__(
        self,
        name: str,
        role: Role,
        expires_in: timedelta | None,
        signing_request: bytes,
        created_by: str,
    ) -> tuple[OperatorKey, str]:
        """Returns the key and the certificate in PEM. `expires_in` None means DEFAULT_LIFETIME."""
        check_key_name(name)
        if not self.certificates:
            raise NoCertificatesIssued
        # The secret is discarded, so that the digest matches no key.
        discarded = self.new_key(OPERATOR_CERTIFICATE)
        now = self.clock.now()
        expires_at = min(
            now + (expires_in or DEFAULT_LIFETIME), self.certificates.authority.expires_at
        )
        certificate = self.certificates.of_operator(
            discarded.key_id, signing_request, expires_at - now
        )
        key = OperatorKey(
            key_id=discarded.key_id,
            digest=discarded.digest,
            name=name,
            role=role,
            created_at=now,
            created_by=created_by,
            expires_at=expires_at,
        )
        with self.store.begin() as transaction:
            transaction.operator_keys.add(key)
        return key, certificate
