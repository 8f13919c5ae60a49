"""How long what nobody uses any more is kept."""

from dataclasses import dataclass
from datetime import timedelta

_UNITS = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


@dataclass(frozen=True, slots=True)
class Retention:
    """What an operator has set; the defaults are those of the settings."""

    # Offline for longer, an ephemeral server is deleted.
    ephemeral: timedelta = timedelta(hours=24)
    # For so long a deleted server can be restored; zero: it is gone at once.
    deleted: timedelta = timedelta(days=30)
    # For so long it is known what operators did; None: for ever.
    audit: timedelta | None = None


DEFAULT_RETENTION = Retention()


def duration_in_words(duration: timedelta) -> str:
    """As "24 hours", in the largest unit that leaves nothing over; days from the second on."""
    units = (("day", timedelta(days=1)), *_UNITS) if duration >= timedelta(days=2) else _UNITS
    for name, unit in units:
        if duration >= unit and not duration % unit:
            return _count(duration // unit, name)
    return _count(int(duration.total_seconds()), "second")


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
