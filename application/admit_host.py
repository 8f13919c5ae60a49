"""Who may join the fleet, and speak for a server that has joined, by the keys that hosts show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from application.claim_name import Claimed
from application.host_credentials import HostCredentials
from application.ports.join_keys import JoinKeyUse
from application.ports.registration_keys import RegistrationKeys
from application.ports.store import Transaction
from domain.admission import admit, everybody_may_join
from domain.errors import (
    CertificateOfAnother,
    InvalidRegistrationKey,
    JoinKeyNotFound,
    JoinKeyRefused,
    ManManError,
    NameHeld,
)
from domain.join_key import JoinKey, check_admits, check_not_revoked
from domain.keys import ShownKey

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

    def speaks_for(
        self, server_id: int, given_key: str, credential: str, certified_as: int = 0
    ) -> ShownKey | None:
        """As the call, and lets in who shows the credential or the certificate of that very server.

        Raises CertificateOfAnother, too, whatever else is shown.
        """
        check_certified_as(certified_as, server_id)
        if self.server_of(credential, certified_as) == server_id:
            return None
        return self(given_key)

    def server_of(self, credential: str, certified_as: int = 0) -> int | None:
        """Whose certificate it is, else whose credential; None for one that is missing, forged or
        expired."""
        if certified_as:
            return certified_as
        if not credential:
            return None
        good = self.credentials.good(credential) if self.credentials else None
        return good.server_id if good else None

    def issue_credential(self, server_id: int) -> str:
        """Empty where none are issued."""
        return self.credentials.issue(server_id) if self.credentials else ""

    @property
    def everybody_may_join(self) -> bool:
        return everybody_may_join(self.registration_keys(), key_required=self.key_required)


def check_certified_as(certified_as: int, server_id: int) -> None:
    """Raise CertificateOfAnother; a caller that is certified as none (0) may be any."""
    if certified_as not in (0, server_id):
        raise CertificateOfAnother(certified_as, server_id)


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


@dataclass(frozen=True, slots=True)
class Granted:
    """What a registration gets from the key that it shows: labels, which an operator gave to the
    key, and approval."""

    key_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    approves: bool = False
    # The key is not asked any more, and may have made the server ephemeral.
    keeps_ephemeral: bool = False


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

    def check_refused(self, refused: ManManError, now: datetime) -> None:
        """Whom the key does not admit is not told who holds a name."""
        held = refused.server_id if isinstance(refused, NameHeld) else None
        use = self.transaction.join_keys.use(self.key.key_id, held) if held else None
        self._check_admits(use, now, has_joined=False, lock=False)

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

    server_id: int
    key: JoinByKey | KeyRefusal

    def check_refused(self, refused: ManManError, now: datetime) -> None:
        """Whom neither admits is not told who holds a name."""
        if isinstance(refused, NameHeld) and refused.server_id == self.server_id:
            return
        self._by_key().check_refused(refused, now)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Granted:
        """A machine is admitted, not a name: who takes a server over needs a key."""
        try:
            return self._by_key().record(claimed, address, now)
        except (InvalidRegistrationKey, JoinKeyRefused):
            if claimed.server.server_id != self.server_id or claimed.is_taken_over:
                raise
            return Granted(keeps_ephemeral=True)

    def _by_key(self) -> JoinByKey:
        if isinstance(self.key, JoinByKey):
            return self.key
        raise self.key
