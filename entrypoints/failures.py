"""Failures that end a command with an exit code other than 0 (the codes of sysexits.h)."""

import os
from collections.abc import Sequence
from typing import Self

from application.ports.diagnosis import DiagnosedFailure, Diagnosis, diagnosis_of


class CommandFailed(Exception):
    """The command cannot continue. The message is one sentence that says what to do."""

    exit_code: int

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


class ConfigurationError(DiagnosedFailure, CommandFailed):
    """Settings are wrong. The message is one line for each problem.

    `setting` is the name of the wrong setting, empty if the problem is a combination. `others` are
    the further problems that were found at the same time.
    """

    exit_code = os.EX_CONFIG

    def __init__(
        self, problem: str, fix: str = "", *, separator: str = ": ", setting: str = ""
    ) -> None:
        super().__init__(problem, fix, separator=separator)
        self.setting = setting
        self.others: Sequence[ConfigurationError] = ()

    @classmethod
    def on(cls, setting: str, error: Exception) -> Self:
        """A problem with a setting. The error's message completes the sentence "NAME: …"."""
        failure = cls.of(diagnosis_of(error).after(f"{setting}: "))
        failure.setting = setting
        return failure

    def each(self) -> Sequence["ConfigurationError"]:
        return (self, *self.others)

    def with_name(self, old: str, new: str) -> "ConfigurationError":
        """The same problems, with another name for a setting."""
        first, *others = [each._with_name(old, new) for each in self.each()]
        first.others = others
        return first

    def _with_name(self, old: str, new: str) -> "ConfigurationError":
        known: Diagnosis = self.diagnosis
        return ConfigurationError(
            known.problem.replace(old, new),
            known.fix.replace(old, new),
            separator=known.separator,
            setting=self.setting,
        )

    def __str__(self) -> str:
        return "\n".join(f"{each.diagnosis}." for each in self.each())
