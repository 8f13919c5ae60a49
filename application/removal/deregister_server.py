from dataclasses import dataclass

from application.access.authenticate_host import AuthenticateHost
from application.access.enforcement import enforce
from application.access.refusals import not_admitted, superseded
from application.ports.clock import Clock
from application.ports.store.store import Store
from application.removal.move_to_deleted import move_to_deleted
from domain.enforcement import ENFORCE_ALL, Enforcement, Switch
from domain.errors import CertificateRequired
from domain.retention import DEFAULT_RETENTION, Retention
from domain.spiffe import NOT_CERTIFIED, Certified


@dataclass(frozen=True)
class DeregisterServer:
    """A host leaves the fleet for good: its server is deleted, as by DeleteServer.

    Only the process that registered last may do this. Raises InvalidRegistrationKey,
    JoinKeyRefused and CertificateMismatch before anything else, then ServerNotFound,
    CertificateRequired, NotAdmitted and SupersededRegistration.
    """

    store: Store
    clock: Clock
    authenticate_host: AuthenticateHost
    enforcement: Enforcement = ENFORCE_ALL
    retention: Retention = DEFAULT_RETENTION

    def __call__(
        self,
        server_id: int,
        registration_key: str,
        instance_id: str,
        credential: str = "",
        certified_as: Certified = NOT_CERTIFIED,
    ) -> None:
        principal = self.authenticate_host.principal(
            server_id, registration_key, credential, certified_as
        )
        with self.store.begin() as transaction:
            server = principal.server(transaction, self.enforcement)
            now = self.clock.now()
            if not certified_as.server_id:
                required = CertificateRequired(server_id)
                enforce(transaction, self.enforcement, Switch.CERTIFICATE, server, required, now)
            if not server.approval.admits:
                # Otherwise it could register again as a new server that is not refused.
                error = not_admitted(server)
                enforce(transaction, self.enforcement, Switch.BAN, server, error, now)
            identity = transaction.identities.get(server_id)
            if identity.evidence.instance_id not in ("", instance_id):
                raise superseded(server, identity)
            move_to_deleted(
                transaction, [server], "its host left for good", now, self.retention.deleted
            )
