"""Whether a registration may join, and what it gets, by the key or the credential that it presents.

Each kind of attempt has the environment under which it claims a name, checks whether it may learn
why a name is refused, and records that it joins.
"""

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
    """What the key adds to a registration: the labels that an operator gave to the key, approval,
    and values that the host does not set itself."""

    key_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    approves: bool = False
    environment: str = ""
    ephemeral: bool = False


NO_GRANT = Grant()


@dataclass(frozen=True, slots=True)
class JoinFreely:
    """A registration that the configuration admits: by a shared key, or because none is needed."""

    environment: str

    def check_may_learn(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        pass

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
        return NO_GRANT


@dataclass(frozen=True)
class JoinWithKey:
    """A registration with a join key that exists. Every method raises JoinKeyRefused."""

    transaction: Transaction
    key: JoinKey
    name: str
    environment: str

    def check_scope(self, now: datetime) -> None:
        """Check what does not depend on the server that the host gets, nor on whether this server
        has joined with the key before."""
        check_admits(self.key, self.name, self.environment, now, has_joined=True)

    def check_may_learn(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        """A host that the key does not admit must not learn who holds a name, or why an operator
        refuses a server."""
        server_id = refused.server_id
        use = self.transaction.join_keys.use(self.key.key_id, server_id) if server_id else None
        has_joined = use is not None and isinstance(refused, NotAdmitted)
        self._check_admits(use, now, has_joined=has_joined, lock=False)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
        """Record that the server registers with the key.

        The key admits a machine, not a name: a machine that takes a server over has not joined
        before.
        """
        server = claimed.server
        use = self.transaction.join_keys.use(self.key.key_id, server.server_id)
        has_joined = use is not None and not claimed.is_taken_over
        # Locked, so that servers which join at the same time are counted one after the other.
        self._check_admits(use, now, has_joined=has_joined, lock=True)
        self.transaction.join_keys.record_use(
            self.key.key_id, server.server_id, server.name, address, now
        )
        return Grant(
            self.key.key_id,
            # Only the first time: an operator may have removed them since.
            self.key.labels if use is None else {},
            self.key.pre_approved,
            self.key.environment,
            self.key.ephemeral,
        )

    def _check_admits(
        self, use: JoinKeyUse | None, now: datetime, *, has_joined: bool, lock: bool
    ) -> None:
        key, used = self.key, 0
        if use is None and key.uses is not None:
            key = self.transaction.join_keys.get(key.key_id, lock=lock)
            used = self.transaction.join_keys.used([key.key_id]).get(key.key_id, 0)
        check_admits(key, self.name, self.environment, now, has_joined=has_joined, used=used)


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """A registration with a key that does not admit it. Only a credential can admit it."""

    environment: str
    refusal: KeyRefusal

    def check_may_learn(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        raise self.refusal

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
        raise self.refusal


@dataclass(frozen=True)
class RejoinWithCredential:
    """A registration with the credential of a server. It gets this server whatever happened to the
    key, and another server only if the key admits it."""

    transaction: Transaction
    credential: HostCredential
    evidence: Evidence
    with_key: JoinWithKey | RefusedKey

    @property
    def environment(self) -> str:
        return self.with_key.environment

    def check_may_learn(self, refused: NameInUse | NotAdmitted, now: datetime) -> None:
        """A host that neither the credential nor the key admits must not learn who holds a name, or
        why an operator refuses a server."""
        if not self._proves(refused.server_id):
            self.with_key.check_may_learn(refused, now)

    def record(self, claimed: Claimed, address: str, now: datetime) -> Grant:
        """The credential is of a machine, not of a name: a machine that takes a server over needs a
        key."""
        try:
            return self.with_key.record(claimed, address, now)
        except (InvalidRegistrationKey, JoinKeyRefused):
            if claimed.is_taken_over or not self._proves(claimed.server.server_id):
                raise
            # The key that made it ephemeral no longer says so.
            return Grant(ephemeral=claimed.server.ephemeral)

    def _proves(self, server_id: int | None) -> bool:
        """Whether the credential is the server's. If another host registered since, evidence must
        show that this was the same machine, which never got the answer."""
        if server_id != self.credential.server_id:
            return False
        try:
            server = self.transaction.servers.get(server_id)
        except ServerNotFound:
            # A ban outlives its server.
            return False
        if self.credential.epoch >= server.epoch:
            return True
        last = self.transaction.identities.get(server_id).evidence
        return not last or bool(compare(last, self.evidence).agreeing)


JoinAttempt = JoinFreely | JoinWithKey | RefusedKey | RejoinWithCredential
