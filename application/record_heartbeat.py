from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from application.hearing import Hearing
from application.heartbeat_pace import HeartbeatPace
from application.ports.clock import Clock
from application.ports.store import Store
from domain.capabilities import Capabilities, check_capabilities
from domain.errors import InvalidField, ManManError, ServerNotFound
from domain.events import events_of_change
from domain.liveness import Status, heard, left


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A host's word that it lives, or that it stops on purpose."""

    server_id: int
    capabilities: Capabilities | None = None
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The heartbeat is durable."""

    config_revision: int
    next_heartbeat: timedelta


@dataclass(frozen=True)
class RecordHeartbeat:
    """Write a batch of heartbeats in one transaction; one heartbeat is a batch of one.

    The answers stand in the order of the batch. What is wrong with one heartbeat, InvalidField
    or ServerNotFound, is its answer and keeps no other from being written. Of several heartbeats
    of one server the last one counts, with the last capabilities that any of them reported.
    """

    store: Store
    clock: Clock
    pace: HeartbeatPace
    hearing: Hearing
    via: str = ""

    def __call__(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        try:
            return self._record(batch)
        except Exception:
            self.hearing.lost_batches += 1
            raise

    def _record(self, batch: Sequence[Heartbeat]) -> list[Acknowledged | ManManError]:
        problems = [_problem(heartbeat) for heartbeat in batch]
        good = [
            heartbeat for heartbeat, problem in zip(batch, problems, strict=True) if not problem
        ]
        leaves = {heartbeat.server_id: heartbeat.leaving for heartbeat in good}
        leaving = [server_id for server_id, is_leaving in leaves.items() if is_leaving]
        staying = [server_id for server_id, is_leaving in leaves.items() if not is_leaving]
        reports = {
            heartbeat.server_id: heartbeat.capabilities
            for heartbeat in good
            if heartbeat.capabilities
        }
        interval = self.pace.interval
        with self.store.begin() as transaction:
            if leaving:
                # Two groups that are locked one after the other could meet those of another
                # batch the other way round.
                transaction.presences.lock(leaves.keys())
            now = self.clock.now()
            heard_from = transaction.presences.set(staying, heard(now, interval, self.via))
            left_by = transaction.presences.set(leaving, left(now))
            known = {**heard_from, **left_by}
            transaction.capability_reports.record(
                {server_id: reports[server_id] for server_id in reports.keys() & known.keys()}, now
            )
            transaction.outbox.add(
                [
                    event
                    for before, status in ((heard_from, Status.ONLINE), (left_by, Status.OFFLINE))
                    for server_id, server in before.items()
                    for event in events_of_change(server_id, server.status, status, now)
                ]
            )
        answers: dict[int, Acknowledged | ManManError] = {
            server_id: Acknowledged(known[server_id].config_revision, interval)
            if server_id in known
            else ServerNotFound(server_id)
            for server_id in leaves
        }
        return [
            problem or answers[heartbeat.server_id]
            for heartbeat, problem in zip(batch, problems, strict=True)
        ]


def _problem(heartbeat: Heartbeat) -> InvalidField | None:
    if heartbeat.capabilities:
        try:
            check_capabilities(heartbeat.capabilities)
        except InvalidField as error:
            return error
    return None
