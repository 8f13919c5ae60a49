"""Whether a server lives: how often hosts beat, and what their silence means."""

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
    """What is known of a server's life.

    `offline_after` is the moment up to which its silence is no reason to worry. It is kept
    with the server, not computed from today's interval, because only the host knows which
    interval it was last told. `via` names the way over which the host was heard: who is deaf on
    that way cannot tell whether it is silent.
    """

    status: Status
    last_seen: datetime | None
    offline_after: datetime | None
    via: str = ""


# For a control plane that tells no interval.
_DEFAULT_INTERVAL = timedelta(seconds=15)
# No fleet needs more; what is beyond is a mistake that would silence the host.
_MAX_INTERVAL_SECONDS = 3600

NEVER_SEEN = Presence(Status.OFFLINE, None, None)


def online_presence(now: datetime, interval: timedelta, via: str = "") -> Presence:
    """A host spoke, and was told to speak again after the interval."""
    return Presence(Status.ONLINE, now, offline_deadline(now, interval), via)


def offline_presence(now: datetime) -> Presence:
    """A host said that it stops."""
    return Presence(Status.OFFLINE, now, None)


def offline_deadline(now: datetime, interval: timedelta) -> datetime:
    return now + OFFLINE_AFTER_INTERVALS * interval


def parse_interval(seconds: int) -> timedelta:
    """What a host makes of the interval that it was told."""
    if seconds <= 0:
        return _DEFAULT_INTERVAL
    return timedelta(seconds=min(seconds, _MAX_INTERVAL_SECONDS))


@dataclass(frozen=True, slots=True)
class HeartbeatSchedule:
    """How often hosts beat: every interval, stretched so that the fleet stays under a rate."""

    interval: timedelta
    max_heartbeats_per_second: int

    def for_fleet(self, servers: int) -> timedelta:
        """The interval for a fleet of this size, in whole seconds."""
        needed = timedelta(seconds=ceil(servers / self.max_heartbeats_per_second))
        return max(self.interval, needed)


@dataclass(frozen=True, slots=True)
class ObservationWindow:
    """How long the API has been able to hear heartbeats without a gap.

    Who was deaf may not call others silent: after a start, after the store was away, and
    after its clock jumped, a whole deadline must pass before anybody is declared offline.
    """

    since: datetime
    last_observed: datetime

    @classmethod
    def start(cls, now: datetime) -> "ObservationWindow":
        return cls(since=now, last_observed=now)

    def observe(self, now: datetime, max_gap: timedelta) -> "ObservationWindow":
        """Look again. A gap that is too long, or time that ran backwards, begins a new watch."""
        if timedelta(0) <= now - self.last_observed <= max_gap:
            return ObservationWindow(self.since, now)
        return ObservationWindow.start(now)

    def can_expire(self, now: datetime, interval: timedelta) -> bool:
        return now >= offline_deadline(self.since, interval)
