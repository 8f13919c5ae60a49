"""Whether a server is online: how often hosts send heartbeats, and when silence means offline."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

OFFLINE_AFTER_INTERVALS = 3


class Status(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a server is online, and until when.

    `offline_after` is the time until which its silence is tolerated. It is stored with the
    server and not computed from today's interval, because it follows from the interval that the
    host was last given. `via` names the transport of the last heartbeat: an API that receives
    nothing over that transport cannot tell whether the host is silent.
    """

    status: Status
    last_seen: datetime | None
    offline_after: datetime | None
    via: str = ""


# Used if the control plane sends no interval.
_DEFAULT_INTERVAL = timedelta(seconds=15)
# No fleet needs more. A larger value is a mistake that would silence the host.
_MAX_INTERVAL_SECONDS = 3600

NEVER_SEEN = Presence(Status.OFFLINE, None, None)


def online_presence(now: datetime, interval: timedelta, via: str = "") -> Presence:
    """A host was heard now and will send its next heartbeat after the interval."""
    return Presence(Status.ONLINE, now, offline_deadline(now, interval), via)


def offline_presence(now: datetime) -> Presence:
    """A host reported that it stops."""
    return Presence(Status.OFFLINE, now, None)


def offline_deadline(now: datetime, interval: timedelta) -> datetime:
    return now + OFFLINE_AFTER_INTERVALS * interval


def parse_interval(seconds: int) -> timedelta:
    """The interval that a host uses for the seconds that it was sent."""
    if seconds <= 0:
        return _DEFAULT_INTERVAL
    return timedelta(seconds=min(seconds, _MAX_INTERVAL_SECONDS))


@dataclass(frozen=True, slots=True)
class HeartbeatSchedule:
    """How often hosts send heartbeats: every interval, or less often if the fleet would exceed a
    rate."""

    interval: timedelta
    max_heartbeats_per_second: int

    def for_fleet(self, servers: int) -> timedelta:
        """The interval for a fleet of this size, in whole seconds."""
        needed = timedelta(seconds=ceil(servers / self.max_heartbeats_per_second))
        return max(self.interval, needed)


@dataclass(frozen=True, slots=True)
class ObservationWindow:
    """How long the API has been able to receive heartbeats without a gap.

    An API that received nothing must not take hosts for silent: after its start, after the store
    was unavailable, and after its clock jumped, a whole deadline must pass before it sets any
    server offline.
    """

    since: datetime
    last_observed: datetime

    @classmethod
    def start(cls, now: datetime) -> "ObservationWindow":
        return cls(since=now, last_observed=now)

    def observe(self, now: datetime, max_gap: timedelta) -> "ObservationWindow":
        """Extend the window to now. A gap above `max_gap` or a clock that went back restarts it."""
        if timedelta(0) <= now - self.last_observed <= max_gap:
            return ObservationWindow(self.since, now)
        return ObservationWindow.start(now)

    def can_expire(self, now: datetime, interval: timedelta) -> bool:
        return now >= offline_deadline(self.since, interval)
