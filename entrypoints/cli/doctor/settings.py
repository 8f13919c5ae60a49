from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

from application.doctor.check_result import Cause, CheckResult
from entrypoints.failures import ConfigurationError
from entrypoints.settings import Settings

S = TypeVar("S", bound=Settings)


def examine_settings(
    settings_class: type[S], environment: Mapping[str, str], from_files: Mapping[str, str]
) -> tuple[S | None, Sequence[str], Sequence[CheckResult]]:
    """The settings without those that are wrong, the names of these, and what to say.

    What is in files wins over the environment. No settings, where what is left does not go
    together.
    """
    given = {**environment, **from_files}
    try:
        settings = settings_class.load(given)
        return settings, (), [_told(settings_class, given, from_files)]
    except ConfigurationError as error:
        errors = error.each()
    wrong = [each.setting for each in errors if each.setting]
    findings = [CheckResult.of(each.diagnosis, Cause.SETTING) for each in errors]
    names = {
        variable
        for name, variables in _variables(settings_class).items()
        if name in wrong
        for variable in variables
    }
    sound = {name: value for name, value in given.items() if name not in names}
    try:
        return settings_class.load(sound), wrong, findings
    except ConfigurationError:
        return None, wrong, findings


def _told(
    settings_class: type[Settings], given: Mapping[str, str], from_files: Mapping[str, str]
) -> CheckResult:
    names = [
        variable
        for variables in _variables(settings_class).values()
        for variable in variables
        if given.get(variable)
    ]
    by_source = {
        "by file": [name for name in names if name in from_files],
        "by this environment": [name for name in names if name not in from_files],
    }
    told = [f"{source}: {', '.join(found)}" for source, found in by_source.items() if found]
    return CheckResult.ok(f"set {'; '.join(told)}" if told else "none is set, all is as by default")


def _variables(settings_class: type[Settings]) -> Mapping[str, Sequence[str]]:
    """By the name of each setting, where it may come from."""
    return {
        found.name.upper(): (
            found.name.upper(),
            *found.metadata["aliases"],
            *found.metadata["old_names"],
            *([f"{found.name.upper()}_FILE"] if found.metadata["in_file"] else ()),
        )
        for found in fields(settings_class)
    }
