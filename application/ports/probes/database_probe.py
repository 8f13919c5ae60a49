from typing import Protocol

from application.ports.diagnosis import DiagnosedFailure
from domain.clock_reading import ClockReading


class DatabaseUnavailable(DiagnosedFailure):
    """It cannot be reached now. The message is one sentence for an operator."""


class DatabaseUnfit(DiagnosedFailure):
    """The API cannot use it. The message is one sentence that says what to do."""


class DatabaseProbe(Protocol):
    """Reads the API's database without changing it.

    Every call raises DatabaseUnavailable and DatabaseUnfit.
    """

    def describe(self) -> str:
        """The product and the schema version, as a text for a person."""
        ...

    def read_clock(self) -> ClockReading | None:
        """None if the database has no clock of its own."""
        ...
