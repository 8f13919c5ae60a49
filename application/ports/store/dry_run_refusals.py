from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.enforcement import Switch


@dataclass(frozen=True, slots=True)
class DryRunRefusal:
    """A call that a switch in warn mode would have refused. `server_id` is 0 if there is none."""

    entry_id: int
    switch: Switch
    server_id: int
    name: str
    reason: str
    count: int
    first_at: datetime
    last_at: datetime


class DryRunRefusals(Protocol):
    def record(self, switch: Switch, server_id: int, name: str, reason: str, now: datetime) -> None:
        """Count a refusal. There is one entry per switch, server and name, with the last reason."""
        ...

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        """Up to `size` entries with an entry_id above `after`, oldest first."""
        ...

    def purge(self, not_since: datetime) -> int:
        """Delete entries that were not counted since then. Returns how many."""
        ...
