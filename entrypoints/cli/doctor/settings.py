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
    """The settings without the wrong ones, the names of the wrong ones, and the results to print.

    Files take precedence over the environment. The settings are None if the others contradict each
    other.
    """
    variables_set = {**environment, **from_files}
    try:
        settings = settings_class.load(variables_set)
        return settings, (), [_summary(settings_class, variables_set, from_files)]
    except ConfigurationError as error:
        errors = error.each()
    wrong = [each.setting for each in errors if each.setting]
    results = [CheckResult.of(each.diagnosis, Cause.SETTING) for each in errors]
    names = {
        variable
        for name, variables in _variables(settings_class).items()
        if name in wrong
        for variable in variables
    }
    sound = {name: value for name, value in variables_set.items() if name not in names}
    try:
        return settings_class.load(sound), wrong, results
    except ConfigurationError:
        return None, wrong, results


def _summary(
    settings_class: type[Settings], variables_set: Mapping[str, str], from_files: Mapping[str, str]
) -> CheckResult:
    names = [
        variable
        for variables in _variables(settings_class).values()
        for variable in variables
        if variables_set.get(variable)
    ]
    by_source = {
        "by file": [name for name in names if name in from_files],
        "by this environment": [name for name in names if name not in from_files],
    }
    parts = [f"{source}: {', '.join(names)}" for source, names in by_source.items() if names]
    return CheckResult.ok(
        f"set {'; '.join(parts)}" if parts else "none is set, so all have their defaults"
    )


def _variables(settings_class: type[Settings]) -> Mapping[str, Sequence[str]]:
    """The environment variables of each setting, by its name."""
    return {
        found.name.upper(): (
            found.name.upper(),
            *found.metadata["aliases"],
            *found.metadata["old_names"],
            *([f"{found.name.upper()}_FILE"] if found.metadata["in_file"] else ()),
        )
        for found in fields(settings_class)
    }
