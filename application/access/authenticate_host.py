"""Which hosts may register, and which may act for a server, by the keys and credentials that they
present."""

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
    """Checks what a host presents against the configured shared keys, and whether a key is required
    where there are none.

    Without `credentials`, none are issued and none are accepted.
    """

    registration_keys: RegistrationKeys
    key_required: bool = False
    credentials: HostCredentials | None = None

    def __call__(self, presented_key: str) -> PlaintextKey | None:
        """None if the configuration alone admits the host. Otherwise the presented join key, which
        `find_join_key` looks up. Raises InvalidRegistrationKey."""
        return check_registration_key(
            self.registration_keys(), presented_key, key_required=self.key_required
        )

    def principal(
        self,
        server_id: int,
        presented_key: str,
        credential: str,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> "HostPrincipal":
        """Raises CertificateMismatch, whatever else is presented. Raises InvalidRegistrationKey
        unless the caller presents the certificate or the credential of this server, or what may be
        a valid key."""
        check_certified_as(certified_as, server_id)
        proof = self.proof_of_identity(credential, certified_as)
        if proof and proof.server_id == server_id:
            return HostPrincipal(self, server_id, presented_key, proof, None)
        return HostPrincipal(self, server_id, presented_key, None, self(presented_key))

    def proof_of_identity(
        self, credential: str, certified_as: Certified = NOT_CERTIFIED
    ) -> HostCredential | None:
        """The credential or the certificate that proves which server the host is; None if neither
        does."""
        return proof_of_identity(self.credentials, credential, certified_as)

    def issue_credential(self, server: Server) -> str:
        """Empty if no credentials are issued."""
        return self.credentials.issue(server.server_id, server.epoch) if self.credentials else ""

    @property
    def is_open_registration(self) -> bool:
        return is_open_registration(self.registration_keys(), key_required=self.key_required)


def check_certified_as(certified_as: Certified, server_id: int) -> None:
    """Raise CertificateMismatch for the certificate of another server. A caller without the
    certificate of a server may act for any."""
    if certified_as.server_id not in (0, server_id):
        raise CertificateMismatch(certified_as.server_id, server_id)


def find_join_key(transaction: Transaction, plaintext_key: PlaintextKey) -> JoinKey:
    """Raises InvalidRegistrationKey if the key is unknown or has another secret, and JoinKeyRefused
    if it was revoked."""
    try:
        join_key = transaction.join_keys.get(plaintext_key.key_id)
    except JoinKeyNotFound:
        join_key = None
    # Compared in either case, so that the duration does not reveal which ids exist.
    if not plaintext_key.matches(join_key.digest if join_key else None) or not join_key:
        raise InvalidRegistrationKey
    check_not_revoked(join_key)
    return join_key


def check_joined_with(
    transaction: Transaction, plaintext_key: PlaintextKey, server_id: int
) -> None:
    """Raise what `find_join_key` raises, and InvalidRegistrationKey if the server did not register
    with this key."""
    join_key = find_join_key(transaction, plaintext_key)
    if transaction.join_keys.use(join_key.key_id, server_id) is None:
        raise InvalidRegistrationKey


@dataclass(frozen=True)
class HostPrincipal:
    """A caller that acts for a registered server, by the server's credential or by a key."""

    authenticate_host: AuthenticateHost
    server_id: int
    presented_key: str = field(repr=False)
    proof: HostCredential | None
    join_key: PlaintextKey | None

    def server(self, transaction: Transaction, enforcement: Enforcement) -> Server:
        """The server, locked. Raises InvalidRegistrationKey and JoinKeyRefused, and ServerNotFound
        only to callers that a key or the credential admits."""
        if self.join_key:
            check_joined_with(transaction, self.join_key, self.server_id)
        server = transaction.servers.get(self.server_id, lock=True)
        compares_epochs = enforcement.of(Switch.EPOCH) is Mode.ENFORCE
        if self.proof and compares_epochs and 0 < self.proof.epoch < server.epoch:
            # Another host manager has registered since, perhaps on another machine, so that only a
            # key admits the caller.
            join_key = self.authenticate_host(self.presented_key)
            if join_key:
                check_joined_with(transaction, join_key, self.server_id)
        return server
