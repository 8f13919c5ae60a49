from collections.abc import Sequence
from typing import Protocol

from domain.operator_key import OperatorKey


class OperatorKeys(Protocol):
    def add(self, key: OperatorKey) -> None: ...

    def get(self, key_id: str) -> OperatorKey:
        """Raises OperatorKeyNotFound."""
        ...

    def save(self, key: OperatorKey) -> None:
        """Write what may change of it: when it was revoked."""
        ...

    def page(self, after: str, size: int) -> Sequence[OperatorKey]:
        """Up to `size` with a key_id above `after`, by key_id; those without use too."""
        ...

    def any_admin(self) -> bool:
        """Whether a key of an administrator was ever made, also if it is of no use any more."""
        ...
