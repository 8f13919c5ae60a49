from dataclasses import dataclass, replace

from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.keys import OPERATOR_KINDS, check_key_id
from domain.operator_key import OperatorKey


@dataclass(frozen=True)
class RevokeOperatorKey:
    """Revoke an operator key or certificate from the next call on. A second revocation changes
    nothing, so the first time is kept.

    Raises OperatorKeyNotFound, InvalidField.
    """

    store: Store
    clock: Clock

    def __call__(self, key_id: str) -> OperatorKey:
        check_key_id(key_id, *OPERATOR_KINDS)
        with self.store.begin() as transaction:
            key = transaction.operator_keys.get(key_id)
            if key.revoked_at is None:
                key = replace(key, revoked_at=self.clock.now())
                transaction.operator_keys.save(key)
        return key
