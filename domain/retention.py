"""How long unused records are kept."""

from dataclasses import dataclass
from datetime import timedelta

_UNITS = (("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))


@dataclass(frozen=True, slots=True)
class Retention:
    """The durations that an operator has set. The defaults are those of the settings."""

    # An ephemeral server that is offline for longer is deleted.
    ephemeral: timedelta = timedelta(hours=24)
    # How long a deleted server can be restored. Zero: it is gone at once.
    deleted: timedelta = timedelta(days=30)
    # How long audit entries are kept. None: forever.
    audit: timedelta | None = None


DEFAULT_RETENTION = Retention()


def duration_in_words(duration: timedelta) -> str:
    """For example "24 hours": in the largest unit without a remainder; days from two days on."""
    units = (("day", timedelta(days=1)), *_UNITS) if duration >= timedelta(days=2) else _UNITS
    for name, unit in units:
        if duration >= unit and not duration % unit:
            return _count(duration // unit, name)
    return _count(int(duration.total_seconds()), "second")


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
