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
    """Set servers offline that were silent for too long, and count the fleet for the heartbeat
    interval.

    Call it several times per interval. It remembers when it last observed the fleet, so that it
    never expires a server whose heartbeats it may have missed.
    """

    store: Store
    clock: Clock
    heartbeat_interval: HeartbeatInterval
    heartbeat_intake: HeartbeatIntake
    # None before the first observation, and after one that failed.
    _window: ObservationWindow | None = field(default=None, init=False)
    # At the last observation.
    _failed_batches: int = field(default=0, init=False)
    _disconnected_at: dict[str, datetime] = field(default_factory=dict, init=False)
    _unheard_transports: Collection[str] = field(default=(), init=False)

    def __call__(self) -> Collection[int]:
        """The ids of the servers that it set offline."""
        now = self.clock.now()
        interval = self.heartbeat_interval.schedule.interval
        failed_batches = self.heartbeat_intake.failed_batches
        missed_heartbeats = failed_batches != self._failed_batches
        self._failed_batches = failed_batches
        if self._window and not missed_heartbeats:
            window = self._window.observe(now, max_gap=interval)
        else:
            window = ObservationWindow.start(now)
        # When the store fails below, no window is left, and the next call starts a new one.
        self._window = None
        expired: Collection[int] = ()
        self._unheard_transports = self._disconnected(now)
        with self.store.begin() as transaction:
            if window.can_expire(now, self.heartbeat_interval.interval):
                expired = transaction.presences.expire(now, self._unheard_transports)
                cause = self._cause()
                transaction.outbox.add(
                    [Event(EventKind.STALE, server_id, now, cause) for server_id in expired]
                )
            self.heartbeat_interval.fleet_size = transaction.presences.count_online()
        self._window = window
        return expired

    def can_expire(self) -> bool:
        """Whether it receives heartbeats over every transport, and has for long enough to tell
        which servers are silent."""
        now = self.clock.now()
        window = self._window
        return (
            window is not None
            and window.observe(now, self.heartbeat_interval.schedule.interval).can_expire(
                now, self.heartbeat_interval.interval
            )
            and self.heartbeat_intake.failed_batches == self._failed_batches
            and not self._unheard_transports
            and not self.heartbeat_intake.disconnected_transports
        )

    def _cause(self) -> str:
        # The interval of a host depends on the size of the fleet at the time, and is never shorter.
        silence = OFFLINE_AFTER_INTERVALS * self.heartbeat_interval.schedule.interval
        return f"its host was silent for longer than {silence.total_seconds():.0f} seconds"

    def _disconnected(self, now: datetime) -> Collection[str]:
        """Includes transports that were disconnected a moment ago: their hosts need time to send
        the next heartbeat."""
        # Copied, because other threads change it.
        disconnected = tuple(self.heartbeat_intake.disconnected_transports)
        self._disconnected_at.update(dict.fromkeys(disconnected, now))
        return [
            transport
            for transport, at in self._disconnected_at.items()
            if now < offline_deadline(at, self.heartbeat_interval.interval)
        ]
