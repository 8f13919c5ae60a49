"""What happened to a server."""

from dataclasses import dataclass
from datetime import datetime

from domain.events import EventKind

# Of each server; the oldest go first.
MAX_HISTORY_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """`agreeing` and `differing` name evidence, as a Comparison does."""

    at: datetime
    kind: EventKind
    cause: str
    agreeing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
