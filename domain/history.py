"""The history of a server."""

from dataclasses import dataclass
from datetime import datetime

from domain.events import EventKind

# Per server; the oldest entries are dropped first.
MAX_HISTORY_ENTRIES = 200


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """`agreeing` and `differing` name the evidence, as in Comparison."""

    at: datetime
    kind: EventKind
    cause: str
    agreeing: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
