from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Self

from application.ports.diagnosis import Diagnosis


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


class Cause(StrEnum):
    """Where the cause of a failure is. It decides the exit code."""

    SETTING = auto()
    # What a setting names, for example a machine or a file.
    ENVIRONMENT = auto()
    # In ManMan itself.
    BUG = auto()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check, and what to do if it is not ok. Contains no secret."""

    outcome: Outcome
    # What the check saw; of a warning or a failure, the problem.
    summary: str
    fix: str = ""
    cause: Cause | None = None
    # Between the problem and its fix.
    separator: str = ": "

    @classmethod
    def ok(cls, summary: str) -> Self:
        return cls(Outcome.OK, summary)

    @classmethod
    def warning(cls, problem: str, fix: str) -> Self:
        return cls(Outcome.WARN, problem, fix)

    @classmethod
    def failure(cls, problem: str, fix: str, cause: Cause) -> Self:
        return cls(Outcome.FAIL, problem, fix, cause)

    @classmethod
    def of(cls, diagnosis: Diagnosis, cause: Cause) -> Self:
        """A failure that an error has diagnosed."""
        return cls(Outcome.FAIL, diagnosis.problem, diagnosis.fix, cause, diagnosis.separator)

    def __str__(self) -> str:
        return f"{self.summary}{self.separator}{self.fix}" if self.fix else self.summary
