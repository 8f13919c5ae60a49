from dataclasses import dataclass
from datetime import timedelta

from domain.liveness import HeartbeatSchedule


@dataclass
class HeartbeatInterval:
    """The interval that hosts must keep, by the size of the fleet when it was last counted."""

    schedule: HeartbeatSchedule
    fleet_size: int = 0

    @property
    def interval(self) -> timedelta:
        return self.schedule.for_fleet(self.fleet_size)
