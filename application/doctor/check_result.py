from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Self


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


class Cause(StrEnum):
    """Where the cause of a failure is to be sought."""

    SETTING = auto()
    # Something that a setting names, and that is not well.
    ENVIRONMENT = auto()
    # A mistake of ours.
    BUG = auto()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check has found, and what to do where it is not well. Holds no secret."""

    outcome: Outcome
    found: str
    cure: str = ""
    fault: Cause | None = None
    # How the sentence goes on from the one to the other.
    mark: str = ": "

    @classmethod
    def ok(cls, found: str) -> Self:
        return cls(Outcome.OK, found)

    @classmethod
    def warning(cls, found: str, cure: str) -> Self:
        return cls(Outcome.WARN, found, cure)

    @classmethod
    def failure(cls, found: str, cure: str, fault: Cause) -> Self:
        return cls(Outcome.FAIL, found, cure, fault)

    @classmethod
    def of_sentence(cls, sentence: str, fault: Cause) -> Self:
        """From a sentence of ours: what is wrong; what to do. Between them stands a colon, or,
        where a colon has said why, a semicolon."""
        said = sentence.removesuffix(".")
        mark = max(": ", "; ", key=said.rfind)
        found, there, cure = said.rpartition(mark)
        if not there or found.isupper():
            # Before the only colon stands but the setting's name.
            found, cure = said, ""
        return cls(Outcome.FAIL, found, cure, fault, mark)

    def __str__(self) -> str:
        return f"{self.found}{self.mark}{self.cure}" if self.cure else self.found
