from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when, from where and by which credential's public id; never a secret.

    `entry_id` is 0 before it is appended. `action` is the call's name in the contract; `server_id`
    is 0 where it is about none; `target` names what else it is about. `outcome` is empty of an
    attempt, noted before it is made, and what was said of one that was refused or failed.
    """

    at: datetime
    actor: str
    credential_id: str
    address: str
    action: str
    server_id: int = 0
    target: str = ""
    outcome: str = ""
    entry_id: int = 0


class Audit(Protocol):
    """Entries are appended and read, never changed; their ids are given once and grow."""

    def append(self, entry: AuditEntry) -> None:
        """Under an id of its own, whatever `entry_id` is."""
        ...

    def page(self, before: int, size: int, server_id: int, actor: str) -> Sequence[AuditEntry]:
        """Up to `size` with an entry_id below `before` (0: from the last on), newest first, of one
        server (0: all) and one actor (empty: all)."""
        ...

    def purge(self, before: datetime) -> int:
        """Forget those that are older; how many they were."""
        ...
