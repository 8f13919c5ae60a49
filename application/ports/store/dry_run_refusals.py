from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.enforcement import Switch


@dataclass(frozen=True, slots=True)
class DryRunRefusal:
    """What a switch that only warns would have refused. `server_id` is 0 where there is none."""

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
        """Count it: one entry for each switch, server and name, with the last reason."""
        ...

    def page(self, after: int, size: int) -> Sequence[DryRunRefusal]:
        """Up to `size` with an entry_id above `after`, oldest first."""
        ...

    def purge(self, not_since: datetime) -> int:
        """Forget those whose last time was before; how many."""
        ...
