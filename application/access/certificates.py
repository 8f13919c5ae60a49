from dataclasses import dataclass
from datetime import datetime, timedelta

from application.ports.certificate_authority import CertificateAuthority
from domain.spiffe import (
    DEFAULT_TRUST_DOMAIN,
    operator_spiffe_id,
    server_common_name,
    server_spiffe_id,
)

DEFAULT_LIFETIME = timedelta(hours=24)
# A new authority must reach every machine, which takes longer than renewing certificates.
_ENDS_SOON = timedelta(days=30)


@dataclass(frozen=True)
class Certificates:
    """Issues the certificates of hosts and operators.

    Raises InvalidField for an invalid signing request, and AuthorityExpired.
    """

    authority: CertificateAuthority
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    host_lifetime: timedelta = DEFAULT_LIFETIME

    def expiry_warning(self, now: datetime) -> str:
        """A warning for operators, to follow the authority's name in a sentence. Empty unless the
        authority expires soon."""
        ends = self.authority.expires_at
        return f"issues nothing after {ends:%Y-%m-%d}" if ends - now <= _ENDS_SOON else ""

    def check(self, signing_request: bytes) -> None:
        """Call this before any change that would be useless without the certificate."""
        self.authority.check(signing_request)

    def of_server(self, server_id: int, epoch: int, signing_request: bytes) -> str:
        spiffe_id = server_spiffe_id(self.trust_domain, server_id)
        common_name = server_common_name(server_id, epoch)
        return self.authority.issue(signing_request, spiffe_id, common_name, self.host_lifetime)

    def of_operator(self, key_id: str, signing_request: bytes, lifetime: timedelta) -> str:
        spiffe_id = operator_spiffe_id(self.trust_domain, key_id)
        return self.authority.issue(signing_request, spiffe_id, key_id, lifetime)
