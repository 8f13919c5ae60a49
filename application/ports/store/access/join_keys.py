from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.join_key import JoinKey


@dataclass(frozen=True, slots=True)
class JoinKeyUse:
    """A server that joined with a key; it may be gone. `times` counts its registrations."""

    key_id: str
    server_id: int
    name: str
    address: str
    first_at: datetime
    last_at: datetime
    times: int


class JoinKeys(Protocol):
    def add(self, key: JoinKey) -> None: ...

    def get(self, key_id: str, *, lock: bool = False) -> JoinKey:
        """Raises JoinKeyNotFound. Locked, nobody else counts its uses meanwhile."""
        ...

    def save(self, key: JoinKey) -> None:
        """Write what may change of it: when it was revoked."""
        ...

    def page(self, after: str, size: int) -> Sequence[JoinKey]:
        """Up to `size` with a key_id above `after`, by key_id; those without use too."""
        ...

    def used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """How many servers joined with each; those with none are left out."""
        ...

    def use(self, key_id: str, server_id: int) -> JoinKeyUse | None:
        """How this server used this key, None if it did not."""
        ...

    def record_use(
        self, key_id: str, server_id: int, name: str, address: str, now: datetime
    ) -> None:
        """One more registration of this server with this key."""
        ...

    def uses_of(self, key_id: str, after: int, size: int) -> Sequence[JoinKeyUse]:
        """Up to `size` with a server_id above `after`, by server_id."""
        ...
