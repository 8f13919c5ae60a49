from dataclasses import dataclass

from application.access.authenticate_host import AuthenticateHost, check_certified_as
from application.access.certificates import Certificates
from application.access.enforcement import enforce
from application.access.refusals import not_admitted
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.errors import CredentialRequired, NoCertificatesIssued
from domain.spiffe import NOT_CERTIFIED, Certified


@dataclass(frozen=True)
class RenewCertificate:
    """A host gets the next certificate of its server, by its present one or its credential.

    Raises CertificateMismatch and CredentialRequired before anything else, then
    NoCertificatesIssued, InvalidField, ServerNotFound, NotAdmitted and AuthorityExpired.
    """

    store: Store
    clock: Clock
    authenticate_host: AuthenticateHost
    # Without it no certificates are issued.
    certificates: Certificates | None
    enforcement: Enforcement = ENFORCE_ALL

    def __call__(
        self,
        server_id: int,
        signing_request: bytes,
        credential: str = "",
        certified_as: Certified = NOT_CERTIFIED,
    ) -> str:
        check_certified_as(certified_as, server_id)
        proof = self.authenticate_host.proof_of_identity(credential, certified_as)
        if proof is None or proof.server_id != server_id:
            raise CredentialRequired(server_id)
        if not self.certificates:
            raise NoCertificatesIssued
        self.certificates.check(signing_request)
        with self.store.begin() as transaction:
            server = transaction.servers.get(server_id)
            if self.enforcement.of(Switch.EPOCH) is Mode.ENFORCE and 0 < proof.epoch < server.epoch:
                # Another host manager has registered since, perhaps on another machine.
                raise CredentialRequired(server_id)
            if not server.approval.admits:
                error, now = not_admitted(server), self.clock.now()
                enforce(transaction, self.enforcement, Switch.BAN, server, error, now)
        return self.certificates.of_server(server_id, proof.epoch, signing_request)
