"""How far two machines' clocks are apart."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# Beyond it a person reads another story from two logs than the one that happened.
MAX_CLOCK_DIFFERENCE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What another machine's clock said at some moment between two moments of ours."""

    before: datetime
    theirs: datetime
    after: datetime

    @property
    def difference(self) -> timedelta:
        """The least by which the clocks differ, positive when theirs is ahead.

        However long the answer took, clocks that agree are never said to differ.
        """
        if self.theirs > self.after:
            return self.theirs - self.after
        if self.theirs < self.before:
            return self.theirs - self.before
        return timedelta(0)
