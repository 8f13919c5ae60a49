from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from application.hearing import Hearing
from application.heartbeat_pace import HeartbeatPace
from application.ports.clock import Clock
from application.ports.store import Store
from domain.events import Event, EventKind
from domain.liveness import Watch, silent_until


@dataclass
class ExpireServers:
    """Set offline who was silent for too long, and count the fleet for its pace.

    To be called several times an interval; it remembers when it last could look, so that it
    expires nobody who may have spoken while it was deaf.
    """

    store: Store
    clock: Clock
    pace: HeartbeatPace
    hearing: Hearing
    _watch: Watch | None = field(default=None, init=False)
    _lost_batches: int = field(default=0, init=False)
    _cut_off_until: dict[str, datetime] = field(default_factory=dict, init=False)

    def __call__(self) -> Collection[int]:
        now = self.clock.now()
        interval = self.pace.cadence.interval
        lost_batches = self.hearing.lost_batches
        was_deaf, self._lost_batches = lost_batches != self._lost_batches, lost_batches
        if self._watch and not was_deaf:
            watch = self._watch.look(now, longest_gap=interval)
        else:
            watch = Watch.begin(now)
        # A store that fails below leaves no watch behind: the next look begins a new one.
        self._watch = None
        expired: Collection[int] = ()
        with self.store.begin() as transaction:
            if watch.may_expire(now, self.pace.interval):
                expired = transaction.presences.expire(now, self._deaf_to(now))
                transaction.outbox.add(
                    [Event(EventKind.STALE, server_id, now) for server_id in expired]
                )
            self.pace.fleet_size = transaction.presences.count_online()
        self._watch = watch
        return expired

    def _deaf_to(self, now: datetime) -> Collection[str]:
        """Also those ways that were cut off a moment ago: hosts need time to speak again."""
        # Copied, because other threads change it.
        self._cut_off_until.update(dict.fromkeys(tuple(self.hearing.cut_off), now))
        return [
            way
            for way, until in self._cut_off_until.items()
            if now < silent_until(until, self.pace.interval)
        ]
