"""Who may join the fleet, and speak for a server that has joined, by the keys that hosts show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from application.claim_name import Claimed
from application.host_credentials import HostCredentials, proof
from application.ports.join_keys import JoinKeyUse
from application.ports.registration_keys import RegistrationKeys
from application.ports.store import Transaction
from domain.admission import admit, everybody_may_join
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    CertificateOfAnother,
    InvalidRegistrationKey,
    JoinKeyNotFound,
    JoinKeyRefused,
    NameHeld,
    NotAdmitted,
    ServerNotFound,
)
from domain.host_credential import HostCredential
from domain.identity import Evidence, weigh
from domain.join_key import JoinKey, check_admits, check_not_revoked
from domain.keys import ShownKey
from domain.server import Server
from domain.spiffe import NOT_CERTIFIED, Certified

KeyRefusal = InvalidRegistrationKey | JoinKeyRefused


@dataclass(frozen=True)
class AdmitHost:
    """What is configured of it: the shared keys, and whether it takes one where there is none.

    Without `credentials` none are issued and none are taken.
    """

    registration_keys: RegistrationKeys
    key_required: bool = False
    credentials: HostCredentials | None = None

    def __call__(self, given_key: str) -> ShownKey | None:
        """None for who is let in by what is configured; else the join key that is shown, for
        `known_join_key` to look up. Raises InvalidRegistrationKey."""
        return admit(self.registration_keys(), given_key, key_required=self.key_required)

    def speaker(
        self,
        server_id: int,
        given_key: str,
        credential: str,
        certified_as: Certified = NOT_CERTIFIED,
    ) -> "Speaker":
        """Raises CertificateOfAnother whatever else is shown, and InvalidRegistrationKey unless it
        shows the certificate or the credential of that very server or what may be a key."""
        check_certified_as(certified_as, server_id)
        own = self.proof(credential, certified_as)
        if own and own.server_id == server_id:
            return Speaker(self, server_id, given_key, own, None)
        return Speaker(self, server_id, given_key, None, self(given_key))

    def proof(
        self, credential: str, certified_as: Certified = NOT_CERTIFIED
    ) -> HostCredential | None:
        """By what a host proves who it is; None where it does not."""
        return proof(self.credentials, credential, certified_as)

    def issue_credential(self, server: Server) -> str:
        """Empty where none are issued."""
        return self.credentials.issue(server.server_id, server.epoch) if self.credentials else ""

    @property
    def everybody_may_join(self) -> bool:
        return everybody_may_join(self.registration_keys(), key_required=self.key_required)


def check_certified_as(certified_as: Certified, server_id: int) -> None:
    """Raise CertificateOfAnother; who shows the certificate of no server may be any."""
    if certified_as.server_id not in (0, server_id):
        raise CertificateOfAnother(certified_as.server_id, server_id)


def known_join_key(transaction: Transaction, shown: ShownKey) -> JoinKey:
    """Raises InvalidRegistrationKey for one that is unknown or has another secret, and
    JoinKeyRefused for one that was revoked."""
    try:
        found = transaction.join_keys.get(shown.key_id)
    except JoinKeyNotFound:
        found = None
    # Compared in either case, so that the time taken does not tell which ids there are.
    if not shown.has(found.digest if found else None) or not found:
        raise InvalidRegistrationKey
    check_not_revoked(found)
    return found


def check_speaks_for(transaction: Transaction, shown: ShownKey, server_id: int) -> None:
    """Raise InvalidRegistrationKey, too, where this server did not register with the key."""
    key = known_join_key(transaction, shown)
    if transaction.join_keys.use(key.key_id, server_id) is None:
        raise InvalidRegistrationKey


@dataclass(frozen=True)
class Speaker:
    """Who speaks for a server that has joined, by its credential or by a key."""

    admit_host: AdmitHost
    server_id: int
    given_key: str = field(repr=False)
    own: HostCredential | None
    join_key: ShownKey | None

    def server(self, transaction: Transaction, enforcement: Enforcement) -> Server:
        """It, locked. Raises InvalidRegistrationKey and JoinKeyRefused, and ServerNotFound to
        nobody but whom a key or the credential admits."""
        if self.join_key:
            check_speaks_for(transaction, self.join_key, self.server_id)
        server = transaction.servers.get(self.server_id, lock=True)
        minds_epoch = enforcement.of(Switch.EPOCH) is Mode.ENFORCE
        if self.own and minds_epoch and 0 < self.own.epoch < server.epoch:
            # Another host manager registered since, maybe on another machine.
            join_key = self.admit_host(self.given_key)
            if join_key:
                check_speaks_for(transaction, join_key, self.server_id)
        return server


@dataclass(frozen=True, slots=True)
class Granted:
    """What a registration gets from the key that it shows: labels, which an operator gave to the
    key, and approval."""

    key_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    approves: bool = False
    # The key says nothing any more, and may have made the server ephemeral.
    is_by_credential: bool = False


NOTHING = Granted()


@dataclass(frozen=True)
class JoinByKey:
    """A registration with a join key that is known. Raises JoinKeyRefused from each call."""

    transaction: Transaction
    key: JoinKey
    name: str
    environment: str

    def check_scope(self, now: datetime) -> None:
        """Before it is known which server the host gets, and so whether it has joined before."""
        check_admits(self.key, self.name, self.environment, now, has_joined=True)

    def check_refused(self, refused: NameHeld | NotAdmitted, now: datetime) -> None:
        """Whom the key does not admit is not told who holds a name, or why an operator refuses a
        server."""
        server_id = refused.server_id
        use = self.transaction.join_keys.use(self.key.key_id, server_id) if server_id else None
        has_joined = use is not None and isinstance(refused, NotAdmitted)
        self._check_admits(use, now, has_joined=has_joined, lock=False)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Granted:
        """Note that the server registers with the key.

        A machine is admitted, not a name: who takes a server over has not joined before.
        """
        server = claimed.server
        use = self.transaction.join_keys.use(self.key.key_id, server.server_id)
        has_joined = use is not None and not claimed.is_taken_over
        # Of servers that join at once each is counted after the others.
        self._check_admits(use, now, has_joined=has_joined, lock=True)
        self.transaction.join_keys.record_use(
            self.key.key_id, server.server_id, server.name, address, now
        )
        return Granted(
            self.key.key_id,
            # Not each time: an operator may have taken them away.
            self.key.labels if use is None else {},
            self.key.pre_approved,
        )

    def _check_admits(
        self, use: JoinKeyUse | None, now: datetime, *, has_joined: bool, lock: bool
    ) -> None:
        key, used = self.key, 0
        if use is None and key.uses is not None:
            key = self.transaction.join_keys.get(key.key_id, lock=lock)
            used = self.transaction.join_keys.used([key.key_id]).get(key.key_id, 0)
        check_admits(key, self.name, self.environment, now, has_joined=has_joined, used=used)


@dataclass(frozen=True)
class JoinAgain:
    """A registration that shows the credential of a server: it gets that one whatever became of the
    key, and another only where the key admits it. `key` may be what is wrong with it."""

    transaction: Transaction
    own: HostCredential
    evidence: Evidence
    key: JoinByKey | KeyRefusal

    def check_refused(self, refused: NameHeld | NotAdmitted, now: datetime) -> None:
        """Whom neither admits is not told who holds a name, or why an operator refuses a server."""
        if not self._is_of(refused.server_id):
            self._by_key().check_refused(refused, now)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Granted:
        """A machine is admitted, not a name: who takes a server over needs a key."""
        try:
            return self._by_key().record(claimed, address, now)
        except (InvalidRegistrationKey, JoinKeyRefused):
            if claimed.is_taken_over or not self._is_of(claimed.server.server_id):
                raise
            return Granted(is_by_credential=True)

    def _is_of(self, server_id: int | None) -> bool:
        """Whether the credential is the server's. Where somebody registered since, it takes
        evidence that this was the same machine, whose answer was lost."""
        if server_id != self.own.server_id:
            return False
        try:
            server = self.transaction.servers.get(server_id)
        except ServerNotFound:
            # Its ban outlives it.
            return False
        if self.own.epoch >= server.epoch:
            return True
        last = self.transaction.identities.get(server_id).evidence
        return not last or bool(weigh(last, self.evidence).agreeing)

    def _by_key(self) -> JoinByKey:
        if isinstance(self.key, JoinByKey):
            return self.key
        raise self.key
