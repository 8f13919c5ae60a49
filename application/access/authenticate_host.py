"""Who may join the fleet, and speak for a server that has joined, by the keys that hosts show."""

from dataclasses import dataclass, field

from application.access.host_credentials import HostCredentials, proof_of_identity
from application.ports.registration_keys import RegistrationKeys
from application.ports.store.store import Transaction
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    CertificateMismatch,
    InvalidRegistrationKey,
    JoinKeyNotFound,
    JoinKeyRefused,
)
from domain.host_credential import HostCredential
from domain.join_key import JoinKey, check_not_revoked
from domain.keys import PlaintextKey
from domain.server import Server
from domain.shared_keys import check_registration_key, is_open_registration
from domain.spiffe import NOT_CERTIFIED, Certified

KeyRefusal = InvalidRegistrationKey | JoinKeyRefused


@dataclass(frozen=True)
class AuthenticateHost:
    """What is configured of it: the shared keys, and whether it takes one where there is none.

    Without `credentials` none are issued and none are taken.
    """

    registration_keys: RegistrationKeys
    key_required: bool = False
    credentials: HostCredentials | None = None

    def __call__(self, given_key: str) -> PlaintextKey | None:
        """None for who is let in by what is configured; else the join key that is shown, for
        `find_join_key` to look up. Raises InvalidRegistrationKey."""
        return check_registration_key(
            self.registration_keys(), given_key, key_required=self.key_required
        )

    def principal(
        self,
        server_id: int,
        given_key: str,
        credential: str,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> "HostPrincipal":
        """Raises CertificateMismatch whatever else is shown, and InvalidRegistrationKey unless it
        shows the certificate or the credential of that very server or what may be a key."""
        check_certified_as(certified_as, server_id)
        own = self.proof_of_identity(credential, certified_as)
        if own and own.server_id == server_id:
            return HostPrincipal(self, server_id, given_key, own, None)
        return HostPrincipal(self, server_id, given_key, None, self(given_key))

    def proof_of_identity(
        self, credential: str, certified_as: Certified = NOT_CERTIFIED
    ) -> HostCredential | None:
        """By what a host proves who it is; None where it does not."""
        return proof_of_identity(self.credentials, credential, certified_as)

    def issue_credential(self, server: Server) -> str:
        """Empty where none are issued."""
        return self.credentials.issue(server.server_id, server.epoch) if self.credentials else ""

    @property
    def is_open_registration(self) -> bool:
        return is_open_registration(self.registration_keys(), key_required=self.key_required)


def check_certified_as(certified_as: Certified, server_id: int) -> None:
    """Raise CertificateMismatch; who shows the certificate of no server may be any."""
    if certified_as.server_id not in (0, server_id):
        raise CertificateMismatch(certified_as.server_id, server_id)


def find_join_key(transaction: Transaction, shown: PlaintextKey) -> JoinKey:
    """Raises InvalidRegistrationKey for one that is unknown or has another secret, and
    JoinKeyRefused for one that was revoked."""
    try:
        found = transaction.join_keys.get(shown.key_id)
    except JoinKeyNotFound:
        found = None
    # Compared in either case, so that the time taken does not tell which ids there are.
    if not shown.matches(found.digest if found else None) or not found:
        raise InvalidRegistrationKey
    check_not_revoked(found)
    return found


def check_speaks_for(transaction: Transaction, shown: PlaintextKey, server_id: int) -> None:
    """Raise InvalidRegistrationKey, too, where this server did not register with the key."""
    key = find_join_key(transaction, shown)
    if transaction.join_keys.use(key.key_id, server_id) is None:
        raise InvalidRegistrationKey


@dataclass(frozen=True)
class HostPrincipal:
    """Who speaks for a server that has joined, by its credential or by a key."""

    authenticate_host: AuthenticateHost
    server_id: int
    given_key: str = field(repr=False)
    own: HostCredential | None
    join_key: PlaintextKey | None

    def server(self, transaction: Transaction, enforcement: Enforcement) -> Server:
        """It, locked. Raises InvalidRegistrationKey and JoinKeyRefused, and ServerNotFound to
        nobody but whom a key or the credential admits."""
        if self.join_key:
            check_speaks_for(transaction, self.join_key, self.server_id)
        server = transaction.servers.get(self.server_id, lock=True)
        minds_epoch = enforcement.of(Switch.EPOCH) is Mode.ENFORCE
        if self.own and minds_epoch and 0 < self.own.epoch < server.epoch:
            # Another host manager registered since, maybe on another machine.
            join_key = self.authenticate_host(self.given_key)
            if join_key:
                check_speaks_for(transaction, join_key, self.server_id)
        return server
