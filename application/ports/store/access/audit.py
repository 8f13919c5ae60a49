from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when, from where and with which credential's public id; never a secret.

    `entry_id` is 0 until the entry is appended. `action` is the call's name in the contract.
    `server_id` is 0 if the call is not about a server; `target` names what else it is about.
    `outcome` is empty for an attempt, which is recorded before it is made, and the error message
    if the call was refused or failed.
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
    """Entries are appended and read, never changed. Their ids are unique and grow."""

    def append(self, entry: AuditEntry) -> None:
        """Append under a new id; `entry_id` is ignored."""
        ...

    def page(self, before: int, size: int, server_id: int, actor: str) -> Sequence[AuditEntry]:
        """Up to `size` entries with an entry_id below `before` (0: from the last on), newest first,
        of one server (0: all) and one actor (empty: all)."""
        ...

    def purge(self, before: datetime) -> int:
        """Delete older entries. Returns how many."""
        ...
