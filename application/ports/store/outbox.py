from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.events import Event, EventKind
from domain.liveness import Status


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with what was known of its server once the change was made.

    `entry_id` grows with each event of a server. `message_id` is the event's for ever, so that
    whoever receives it twice can tell. `trace_parent` is what `current_trace_parent` was when it
    was recorded.
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
    """How many events wait, and since when the oldest does, None when none waits."""

    count: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """Events that wait to be published. They are written in the transaction of their change."""

    def add(self, events: Sequence[Event]) -> None:
        """Record them in this order, here and in the history of their servers, which exist, are
        locked, and are changed already."""
        ...

    def lease(self, holder: str, now: datetime, until: datetime) -> bool:
        """Whether the holder alone publishes until then, or until it gives the lease back."""
        ...

    def release_lease(self, holder: str) -> None:
        """Let others publish, if the holder still has the lease."""
        ...

    def oldest(self, count: int) -> Sequence[RecordedEvent]: ...

    def backlog(self) -> Backlog: ...

    def remove(self, entry_ids: Collection[int]) -> None: ...
