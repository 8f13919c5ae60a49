from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from application.liveness.heartbeat_intake import HeartbeatIntake
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.events import Event, EventKind
from domain.liveness import OFFLINE_AFTER_INTERVALS, ObservationWindow, offline_deadline


@dataclass
class ExpireServers:
    """Set offline who was silent for too long, and count the fleet for its pace.

    To be called several times an interval; it remembers when it last could look, so that it
    expires nobody who may have spoken while it was deaf.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    heartbeat_intake: HeartbeatIntake
    _watch: ObservationWindow | None = field(default=None, init=False)
    _lost_batches: int = field(default=0, init=False)
    _cut_off_until: dict[str, datetime] = field(default_factory=dict, init=False)
    _was_deaf_to: Collection[str] = field(default=(), init=False)

    def __call__(self) -> Collection[int]:
        now = self.clock.now()
        interval = self.heartbeat_interval.schedule.interval
        failed_batches = self.heartbeat_intake.failed_batches
        was_deaf, self._lost_batches = failed_batches != self._lost_batches, failed_batches
        if self._watch and not was_deaf:
            watch = self._watch.observe(now, max_gap=interval)
        else:
            watch = ObservationWindow.start(now)
        # A store that fails below leaves no watch behind: the next look begins a new one.
        self._watch = None
        expired: Collection[int] = ()
        self._was_deaf_to = self._disconnected(now)
        with self.store.begin() as transaction:
            if watch.can_expire(now, self.heartbeat_interval.interval):
                expired = transaction.presences.expire(now, self._was_deaf_to)
                cause = self._why_stale()
                transaction.outbox.add(
                    [Event(EventKind.STALE, server_id, now, cause) for server_id in expired]
                )
            self.heartbeat_interval.fleet_size = transaction.presences.count_online()
        self._watch = watch
        return expired

    def can_expire(self) -> bool:
        """Whether it hears every host, and has for long enough to tell who is silent."""
        now = self.clock.now()
        watch = self._watch
        return (
            watch is not None
            and watch.observe(now, self.heartbeat_interval.schedule.interval).can_expire(
                now, self.heartbeat_interval.interval
            )
            and self.heartbeat_intake.failed_batches == self._lost_batches
            and not self._was_deaf_to
            and not self.heartbeat_intake.cut_off
        )

    def _why_stale(self) -> str:
        # Hosts were told intervals by the size of the fleet then, and none was told a shorter one.
        silence = OFFLINE_AFTER_INTERVALS * self.heartbeat_interval.schedule.interval
        return f"its host was silent for longer than {silence.total_seconds():.0f} seconds"

    def _disconnected(self, now: datetime) -> Collection[str]:
        """Also those ways that were cut off a moment ago: hosts need time to speak again."""
        # Copied, because other threads change it.
        self._cut_off_until.update(dict.fromkeys(tuple(self.heartbeat_intake.cut_off), now))
        return [
            way
            for way, until in self._cut_off_until.items()
            if now < offline_deadline(until, self.heartbeat_interval.interval)
        ]
