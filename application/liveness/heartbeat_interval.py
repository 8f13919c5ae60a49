from dataclasses import dataclass
from datetime import timedelta

from domain.liveness import HeartbeatSchedule


@dataclass
class HeartbeatInterval:
    """The interval that hosts are told, by the size of the fleet at its last count."""

    schedule: HeartbeatSchedule
    fleet_size: int = 0

    @property
    def interval(self) -> timedelta:
        return self.schedule.for_fleet(self.fleet_size)
