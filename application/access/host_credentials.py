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
    """Issues the credentials of hosts, and tells those that are good from all others.

    Nothing is called within a transaction: the first call asks the store, in one of its own.
    """

    store: Store
    clock: Clock
    new_serial: NewSerial
    lifetime: timedelta = DEFAULT_LIFETIME
    _signing_key: bytes = field(init=False, default=b"", repr=False)

    def prepare(self) -> None:
        """Ask the store now, so that none of the other calls has to wait for it."""
        self._key()

    def issue(self, server_id: int, epoch: int) -> str:
        now = self.clock.now()
        credential = HostCredential(self.new_serial(), server_id, epoch, now, now + self.lifetime)
        return issue(credential, self._key())

    def good(self, text: str) -> HostCredential | None:
        """None for one that is missing, forged or expired."""
        credential = read(text, self._key()) if text else None
        return credential if credential and credential.is_valid_at(self.clock.now()) else None

    def renewed(self, credential: HostCredential) -> str:
        """The one that is to take its place, empty while it has half of its life left."""
        is_due = credential.is_due_for_renewal_at(self.clock.now())
        return self.issue(credential.server_id, credential.epoch) if is_due else ""

    def _key(self) -> bytes:
        # Two that ask at once get the same.
        if not self._signing_key:
            with self.store.begin() as transaction:
                signing_key = transaction.signing_keys.current()
            self._signing_key = signing_key
        return self._signing_key


def proof_of_identity(
    credentials: HostCredentials | None, credential: str, certified_as: Certified
) -> HostCredential | None:
    """By what a host proves who it is; None where it does not.

    A certificate says which server it is. It may be of an earlier registration than the
    credential, which is another with each.
    """
    good = credentials.good(credential) if credentials and credential else None
    if certified_as.server_id in (0, good.server_id if good else 0):
        return good
    return credential_from_certificate(certified_as)
