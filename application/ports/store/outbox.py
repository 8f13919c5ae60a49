from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.events import Event, EventKind
from domain.liveness import Status


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with the state of its server after the change.

    `entry_id` grows with each event of a server. `message_id` never changes, so that a receiver
    can detect a duplicate. `trace_parent` is the `current_trace_parent` of the recording.
    """

    entry_id: int
    message_id: str
    kind: EventKind
    server_id: int
    at: datetime
    name: str
    environment: str
    status: Status
    config_revision: int
    trace_parent: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait, and the time of the oldest one, None if none waits."""

    count: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """Events that wait to be published. They are written in the transaction of the change."""

    def add(self, events: Sequence[Event]) -> None:
        """Record events in this order, here and in the history of their servers. The servers must
        exist, be locked and have been changed already."""
        ...

    def lease(self, holder: str, now: datetime, until: datetime) -> bool:
        """Take the lease until then. Returns whether the holder has it.

        Only the holder may publish until the lease ends or is released.
        """
        ...

    def release_lease(self, holder: str) -> None:
        """Release the lease, if the holder still has it."""
        ...

    def oldest(self, count: int) -> Sequence[RecordedEvent]: ...

    def backlog(self) -> Backlog: ...

    def remove(self, entry_ids: Collection[int]) -> None: ...
