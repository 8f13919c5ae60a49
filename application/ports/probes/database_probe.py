from typing import Protocol

from domain.clock_reading import ClockReading


class DatabaseUnavailable(Exception):
    """It cannot be reached now. The message is one sentence for an operator."""


class DatabaseUnfit(Exception):
    """It is not what the API needs. The message is one sentence that says what to do."""


class DatabaseProbe(Protocol):
    """The API's database, which it leaves as it is. Raises DatabaseUnavailable, DatabaseUnfit."""

    def describe(self) -> str:
        """What it is and which schema it has, for a person."""
        ...

    def read_clock(self) -> ClockReading | None:
        """None of one that has no clock of its own."""
        ...
