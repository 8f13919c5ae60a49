from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Self


class Outcome(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"
    SKIP = "skip"


class Fault(StrEnum):
    """Where the cause of a failure is to be sought."""

    SETTING = auto()
    # Something that a setting names, and that is not well.
    SURROUNDINGS = auto()
    # A mistake of ours.
    OURS = auto()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found, and what to do where it is not well. Holds no secret."""

    outcome: Outcome
    found: str
    cure: str = ""
    fault: Fault | None = None

    @classmethod
    def ok(cls, found: str) -> Self:
        return cls(Outcome.OK, found)

    @classmethod
    def warning(cls, found: str, cure: str) -> Self:
        return cls(Outcome.WARN, found, cure)

    @classmethod
    def failure(cls, found: str, cure: str, fault: Fault) -> Self:
        return cls(Outcome.FAIL, found, cure, fault)

    @classmethod
    def of_sentence(cls, sentence: str, fault: Fault) -> Self:
        """From a sentence of ours, which says behind its last colon what to do."""
        found, colon, cure = sentence.removesuffix(".").rpartition(": ")
        if not colon or found.isupper():
            # Before the only colon stands but the setting's name.
            found, cure = sentence.removesuffix("."), ""
        return cls(Outcome.FAIL, found, cure, fault)

    def __str__(self) -> str:
        return f"{self.found}: {self.cure}" if self.cure else self.found
