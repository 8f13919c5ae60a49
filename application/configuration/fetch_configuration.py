from dataclasses import dataclass

from application.access.authenticate_host import AuthenticateHost
from application.access.enforcement import enforce
from application.access.refusals import not_admitted
from application.configuration.effective_configuration import document_of, effective_configuration
from application.ports.clock import Clock
from application.ports.store.store import Store, Transaction
from domain.approval import Approval
from domain.configuration import Configuration, ConfigurationChanges
from domain.enforcement import Switch
from domain.errors import CertificateRequired, ServerNotApproved
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified

# Keeps an answer far below gRPC's default message limit of 4 MiB.
_MAX_RESPONSE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class FetchConfiguration:
    """A host fetches the documents that changed since its revision, oldest first. A server that
    waits for approval gets none.

    Raises InvalidRegistrationKey, JoinKeyRefused and CertificateMismatch before anything else,
    then ServerNotFound, CertificateRequired and NotAdmitted.
    """

    store: Store
    clock: Clock
    authenticate_host: AuthenticateHost
    rules: RegistrationRules = DEFAULT_RULES
    # An answer ends with the document that reaches this size.
    max_response_bytes: int = _MAX_RESPONSE_BYTES

    def __call__(
        self,
        server_id: int,
        registration_key: str,
        known_revision: int,
        after_revision: int = 0,
        credential: str = "",
        certified_as: Certified = NOT_CERTIFIED,
    ) -> ConfigurationChanges:
        """`after_revision` is the revision at which the last answer ended, if it had more."""
        principal = self.authenticate_host.principal(
            server_id, registration_key, credential, certified_as
        )
        with self.store.begin() as transaction:
            # Locked, so that the revision, the names and the documents are consistent.
            server = principal.server(transaction, self.rules.enforcement)
            if not certified_as.server_id:
                required = CertificateRequired(server_id)
                now, enforcement = self.clock.now(), self.rules.enforcement
                enforce(transaction, enforcement, Switch.CERTIFICATE, server, required, now)
            if not self._may_read(transaction, server):
                return ConfigurationChanges([], [], 0, more=False)
            start = after_revision or _start(server, known_revision)
            summaries = effective_configuration(transaction, server)
            names = [summary.name for summary in summaries]
            newer = sorted(
                (summary for summary in summaries if summary.revision > start),
                key=lambda summary: summary.revision,
            )
            changed: list[Configuration] = []
            size = 0
            for summary in newer:
                # Never between documents of one revision, because the next fetch starts above it.
                if size >= self.max_response_bytes and summary.revision > changed[-1].revision:
                    return ConfigurationChanges(changed, names, changed[-1].revision, more=True)
                configuration = document_of(transaction, server, summary)
                if configuration:
                    changed.append(configuration)
                    size += len(configuration.document.encode())
        return ConfigurationChanges(changed, names, server.config_revision, more=False)

    def _may_read(self, transaction: Transaction, server: Server) -> bool:
        enforcement, now = self.rules.enforcement, self.clock.now()
        if not server.approval.admits:
            enforce(transaction, enforcement, Switch.BAN, server, not_admitted(server), now)
        if server.approval is not Approval.PENDING:
            return True
        try:
            error = ServerNotApproved(server.server_id, server.approval)
            enforce(transaction, enforcement, Switch.APPROVAL, server, error, now)
        except ServerNotApproved:
            return False
        return True


def _start(server: Server, known_revision: int) -> int:
    if known_revision > server.config_revision:
        # The store was restored from a backup, so the host's revision is meaningless.
        return 0
    return 0 if known_revision < server.config_resync else known_revision
