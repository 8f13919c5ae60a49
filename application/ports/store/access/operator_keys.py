from collections.abc import Sequence
from typing import Protocol

from domain.operator_key import OperatorKey


class OperatorKeys(Protocol):
    def add(self, key: OperatorKey) -> None: ...

    def get(self, key_id: str) -> OperatorKey:
        """Raises OperatorKeyNotFound."""
        ...

    def save(self, key: OperatorKey) -> None:
        """Write the only value that may change: the time of its revocation."""
        ...

    def page(self, after: str, size: int) -> Sequence[OperatorKey]:
        """Up to `size` keys with a key_id above `after`, by key_id.

        Expired and revoked keys are included.
        """
        ...

    def any_admin(self) -> bool:
        """Whether an admin's key was ever created, even if it has expired or been revoked."""
        ...
