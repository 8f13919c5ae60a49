"""Errors that carry a problem and its fix as two values.

A log line and a command print them as one sentence; the doctor shows them apart.
"""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong and what to do, as text for an operator. Contains no secret.

    `fix` is empty if nobody can say what to do. `separator` stands between the two: a semicolon
    reads better after a problem that has a colon itself.
    """

    problem: str
    fix: str = ""
    separator: str = ": "

    def after(self, words: str) -> Self:
        """The same with these words in front of the problem."""
        return replace(self, problem=f"{words}{self.problem}")

    def __str__(self) -> str:
        return f"{self.problem}{self.separator}{self.fix}" if self.fix else self.problem


class DiagnosedError(Exception):
    """The message continues or ends a sentence of another error, and has no full stop."""

    def __init__(self, problem: str, fix: str = "", *, separator: str = ": ") -> None:
        self.diagnosis = Diagnosis(problem, fix, separator)
        Exception.__init__(self, str(self.diagnosis))

    @classmethod
    def of(cls, diagnosis: Diagnosis) -> Self:
        return cls(diagnosis.problem, diagnosis.fix, separator=diagnosis.separator)


class DiagnosedFailure(DiagnosedError):
    """The message is one sentence for an operator."""

    def __str__(self) -> str:
        return f"{self.diagnosis}."


class InvalidValue(DiagnosedError, ValueError):
    """A text cannot be parsed. The message completes the sentence "NAME: …"."""


def diagnosis_of(error: Exception) -> Diagnosis:
    """The diagnosis of any error; the fix is empty unless the error has one."""
    return error.diagnosis if isinstance(error, DiagnosedError) else Diagnosis(str(error))
