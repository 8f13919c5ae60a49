"""Whether a registration may join, and what it gets, by the key or the credential that it shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from application.access.authenticate_host import KeyRefusal
from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.store import Transaction
from application.registration.claim_name import Claimed
from domain.errors import (
    InvalidRegistrationKey,
    JoinKeyRefused,
    NameInUse,
    NotAdmitted,
    ServerNotFound,
)
from domain.host_credential import HostCredential
from domain.join_key import JoinKey, check_admits
from domain.machine_evidence import Evidence, compare


@dataclass(frozen=True, slots=True)
class Grant:
    """What a registration gets from the key that it shows: labels, which an operator gave to the
    key, and approval."""

    key_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    approves: bool = False
    # The key says nothing any more, and may have made the server ephemeral.
    is_by_credential: bool = False


NO_GRANT = Grant()


@dataclass(frozen=True)
class JoinWithKey:
    """A registration with a join key that is known. Raises JoinKeyRefused from each call."""

    transaction: Transaction
    key: JoinKey
    name: str
    environment: str

    def check_scope(self, now: datetime) -> None:
        """Before it is known which server the host gets, and so whether it has joined before."""
        check_admits(self.key, self.name, self.environment, now, has_joined=True)

    def check_refused(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        """Whom the key does not admit is not told who holds a name, or why an operator refuses a
        server."""
        server_id = refused.server_id
        use = self.transaction.join_keys.use(self.key.key_id, server_id) if server_id else None
        has_joined = use is not None and isinstance(refused, NotAdmitted)
        self._check_admits(use, now, has_joined=has_joined, lock=False)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
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
        return Grant(
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
class RejoinWithCredential:
    """A registration that shows the credential of a server: it gets that one whatever became of the
    key, and another only where the key admits it. `key` may be what is wrong with it."""

    transaction: Transaction
    own: HostCredential
    evidence: Evidence
    key: JoinWithKey | KeyRefusal

    def check_refused(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        """Whom neither admits is not told who holds a name, or why an operator refuses a server."""
        if not self._is_of(refused.server_id):
            self._by_key().check_refused(refused, now)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
        """A machine is admitted, not a name: who takes a server over needs a key."""
        try:
            return self._by_key().record(claimed, address, now)
        except (InvalidRegistrationKey, JoinKeyRefused):
            if claimed.is_taken_over or not self._is_of(claimed.server.server_id):
                raise
            return Grant(is_by_credential=True)

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
        return not last or bool(compare(last, self.evidence).agreeing)

    def _by_key(self) -> JoinWithKey:
        if isinstance(self.key, JoinWithKey):
            return self.key
        raise self.key
