from dataclasses import dataclass, replace

from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.keys import JOIN_KEY, check_key_id


@dataclass(frozen=True)
class RevokeJoinKey:
    """Revoke a join key: from now on no host can register with it, not even one that did before.

    Servers that joined with it stay. A second revocation changes nothing, so the first time is
    kept.

    Raises InvalidField and JoinKeyNotFound.
    """

    store: Store
    clock: Clock

    def __call__(self, key_id: str) -> UsedJoinKey:
        check_key_id(key_id, JOIN_KEY)
        with self.store.begin() as transaction:
            key = transaction.join_keys.get(key_id, lock=True)
            if key.revoked_at is None:
                key = replace(key, revoked_at=self.clock.now())
                transaction.join_keys.save(key)
            used = transaction.join_keys.used([key_id])
        return UsedJoinKey(key, used.get(key_id, 0))
