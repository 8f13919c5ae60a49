from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.new_key import NewKey
from application.ports.store.store import Store
from domain.keys import OPERATOR_KEY, PlaintextKey
from domain.operator_key import OperatorKey, check_key_name
from domain.role import Role


@dataclass(frozen=True)
class CreateOperatorKey:
    """Create a key that identifies an operator. It is shown only once. Raises InvalidField."""

    store: Store
    clock: Clock
    new_key: NewKey

    def __call__(
        self, name: str, role: Role, expires_in: timedelta | None, created_by: str
    ) -> tuple[OperatorKey, PlaintextKey]:
        """The key never expires if `expires_in` is None."""
        check_key_name(name)
        plaintext_key = self.new_key(OPERATOR_KEY)
        now = self.clock.now()
        key = OperatorKey(
            key_id=plaintext_key.key_id,
            digest=plaintext_key.digest,
            name=name,
            role=role,
            created_at=now,
            created_by=created_by,
            expires_at=None if expires_in is None else now + expires_in,
        )
        with self.store.begin() as transaction:
            transaction.operator_keys.add(key)
        return key, plaintext_key
