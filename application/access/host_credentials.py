from dataclasses import dataclass, field
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.new_serial import NewSerial
from application.ports.store.store import Store
from domain.host_credential import HostCredential, credential_from_certificate, issue, read
from domain.spiffe import Certified

DEFAULT_LIFETIME = timedelta(days=30)


@dataclass
class HostCredentials:
    """Issues and verifies the credentials of hosts.

    Do not call it within a transaction: the first call reads the signing key from the store, in a
    transaction of its own.
    """

    store: Store
    clock: Clock
    new_serial: NewSerial
    lifetime: timedelta = DEFAULT_LIFETIME
    _signing_key: bytes = field(init=False, default=b"", repr=False)

    def prepare(self) -> None:
        """Read the signing key now, so that no other call has to wait for the store."""
        self._key()

    def issue(self, server_id: int, epoch: int) -> str:
        now = self.clock.now()
        credential = HostCredential(self.new_serial(), server_id, epoch, now, now + self.lifetime)
        return issue(credential, self._key())

    def verify(self, text: str) -> HostCredential | None:
        """None if the credential is missing, forged or expired."""
        credential = read(text, self._key()) if text else None
        return credential if credential and credential.is_valid_at(self.clock.now()) else None

    def renew(self, credential: HostCredential) -> str:
        """The next credential; empty while this one has at least half of its lifetime left."""
        is_due = credential.is_due_for_renewal_at(self.clock.now())
        return self.issue(credential.server_id, credential.epoch) if is_due else ""

    def _key(self) -> bytes:
        # Safe without a lock: two threads that read it at once get the same key.
        if not self._signing_key:
            with self.store.begin() as transaction:
                signing_key = transaction.signing_keys.current()
            self._signing_key = signing_key
        return self._signing_key


def proof_of_identity(
    credentials: HostCredentials | None, credential: str, certified_as: Certified
) -> HostCredential | None:
    """The credential or the certificate that proves which server the host is; None if neither does.

    Where both belong to the same server, the credential is the proof: it is new with each
    registration, and the certificate may be of an earlier one.
    """
    verified = credentials.verify(credential) if credentials and credential else None
    if certified_as.server_id in (0, verified.server_id if verified else 0):
        return verified
    return credential_from_certificate(certified_as)
