from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from domain.capabilities import Capabilities


class CapabilityReports(Protocol):
    """The latest report of each server, and a history of its equipment."""

    def record(self, reports: Mapping[int, Capabilities], now: datetime) -> None:
        """Store each as the latest report of its server. The servers must exist and be locked.

        A row of history is added only where the equipment changed.
        """
        ...

    def history(self, server_id: int) -> list[tuple[datetime, Capabilities]]:
        """Each change of equipment, oldest first."""
        ...
