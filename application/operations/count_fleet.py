from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from application.ports.clock import Clock
from application.ports.store.store import Store
from domain.approval import Approval
from domain.conflict import ConflictState
from domain.liveness import HeartbeatSchedule, Status
from domain.machine import Hardware


@dataclass(frozen=True, slots=True)
class FleetStatistics:
    """Counts of what is in the store now."""

    servers: Mapping[tuple[Status, str], int]
    # The total of the machines that have at least one server online.
    hardware: Hardware
    # These two wait for an operator.
    pending_servers: int
    open_conflicts: int
    # The interval that hosts get in a fleet of this size.
    heartbeat_interval: timedelta
    waiting_events: int
    # Zero if no event waits.
    oldest_event_age: timedelta


@dataclass(frozen=True)
class CountFleet:
    """Count the fleet and what waits in the outbox. Raises StoreUnavailable and StoreFailed."""

    store: Store
    clock: Clock
    schedule: HeartbeatSchedule

    def __call__(self) -> FleetStatistics:
        with self.store.begin() as transaction:
            servers = transaction.servers.count_by_status()
            hardware = transaction.servers.online_hardware()
            pending = transaction.servers.count(Approval.PENDING)
            conflicts = transaction.conflicts.count(ConflictState.OPEN)
            backlog = transaction.outbox.backlog()
        online = sum(count for (status, _), count in servers.items() if status is Status.ONLINE)
        now = self.clock.now()
        waits_since = backlog.oldest_at or now
        return FleetStatistics(
            servers=servers,
            hardware=hardware,
            pending_servers=pending,
            open_conflicts=conflicts,
            heartbeat_interval=self.schedule.for_fleet(online),
            waiting_events=backlog.count,
            # Another API's clock may be ahead; the age is never negative.
            oldest_event_age=max(timedelta(0), now - waits_since),
        )
