from dataclasses import dataclass

from application.admit_host import AdmitHost, check_speaks_for
from application.bury_servers import bury
from application.enforce import enforce
from application.ports.clock import Clock
from application.ports.store import Store
from application.record_heartbeat import replaced
from application.register_server import not_admitted
from domain.enforcement import ENFORCE_ALL, Enforcement, Switch
from domain.errors import CertificateRequired
from domain.retention import USUAL_RETENTION, Retention


@dataclass(frozen=True)
class DeregisterServer:
    """A host leaves the fleet for good: its server is deleted, as by DeleteServer.

    Only the process that registered last may say so. Raises InvalidRegistrationKey, JoinKeyRefused
    and CertificateOfAnother before anything else, then ServerNotFound, CertificateRequired,
    NotAdmitted and Replaced.
    """

    store: Store
    clock: Clock
    admit_host: AdmitHost
    enforcement: Enforcement = ENFORCE_ALL
    retention: Retention = USUAL_RETENTION

    def __call__(
        self,
        server_id: int,
        registration_key: str,
        instance_id: str,
        credential: str = "",
        certified_as: int = 0,
    ) -> None:
        join_key = self.admit_host.speaks_for(server_id, registration_key, credential, certified_as)
        with self.store.begin() as transaction:
            if join_key:
                check_speaks_for(transaction, join_key, server_id)
            server = transaction.servers.get(server_id, lock=True)
            now = self.clock.now()
            if not certified_as:
                required = CertificateRequired(server_id)
                enforce(transaction, self.enforcement, Switch.CERTIFICATE, server, required, now)
            if not server.approval.admits:
                # Deleted and registered anew it would be refused no more.
                error = not_admitted(server)
                enforce(transaction, self.enforcement, Switch.BAN, server, error, now)
            identity = transaction.identities.get(server_id)
            if identity.evidence.instance_id not in ("", instance_id):
                raise replaced(server, identity)
            bury(transaction, [server], "its host left for good", now, self.retention.deleted)
