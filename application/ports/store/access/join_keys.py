from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.join_key import JoinKey


@dataclass(frozen=True, slots=True)
class JoinKeyUse:
    """A server that joined with a key. It may be deleted. `times` counts its registrations."""

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
        """Raises JoinKeyNotFound. While it is locked, no other transaction can count its uses."""
        ...

    def save(self, key: JoinKey) -> None:
        """Write the only value that may change: the time of its revocation."""
        ...

    def page(self, after: str, size: int) -> Sequence[JoinKey]:
        """Up to `size` keys with a key_id above `after`, by key_id.

        Expired and revoked keys are included.
        """
        ...

    def used(self, key_ids: Sequence[str]) -> dict[str, int]:
        """How many servers joined with each key. Keys without servers are left out."""
        ...

    def use(self, key_id: str, server_id: int) -> JoinKeyUse | None:
        """The use of this key by this server, None if there was none."""
        ...

    def record_use(
        self, key_id: str, server_id: int, name: str, address: str, now: datetime
    ) -> None:
        """Count one more registration of this server with this key."""
        ...

    def uses_of(self, key_id: str, after: int, size: int) -> Sequence[JoinKeyUse]:
        """Up to `size` uses with a server_id above `after`, by server_id."""
        ...
