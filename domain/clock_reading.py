"""How far two machines' clocks are apart."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# With a larger difference, two logs read together seem to show events in the wrong order.
MAX_CLOCK_DIFFERENCE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The time on another machine's clock, read at some moment between two readings of our own."""

    before: datetime
    theirs: datetime
    after: datetime

    @property
    def difference(self) -> timedelta:
        """The smallest possible difference between the clocks, positive if theirs is ahead.

        Clocks that agree give zero, however long the answer took.
        """
        if self.theirs > self.after:
            return self.theirs - self.after
        if self.theirs < self.before:
            return self.theirs - self.before
        return timedelta(0)
