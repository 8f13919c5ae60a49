import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import click

from adapters.system.call_with_timeout import CallWithTimeout
from adapters.system.files.environment_file import parse_environment_file
from application.doctor.check_result import Cause, CheckResult, Outcome
from application.doctor.run_checks import Check, CheckTimedOut, RunChecks
from entrypoints.cli.doctor.settings import examine_settings
from entrypoints.cli.options import output_option
from entrypoints.cli.session import Failure
from entrypoints.cli.views.output import as_json, print_lines

# Most steps of a check have a shorter timeout of their own. This one is for the others.
_MAX_CHECK_SECONDS = 10.0

_EXIT_CODES = {
    Cause.ENVIRONMENT: os.EX_UNAVAILABLE,
    Cause.BUG: os.EX_SOFTWARE,
    Cause.SETTING: os.EX_CONFIG,
}

# Settings that only an API has.
_API_SETTINGS = ("DATABASE_URL", "PG_DATABASE_URL", "DATABASE_URL_FILE", "LISTEN_ADDRESS")


class Subject(StrEnum):
    HOST = "host"
    API = "api"


_TITLES = {Subject.HOST: "The host manager", Subject.API: "The API"}


@click.command()
@click.argument("subject", type=click.Choice([each.value for each in Subject]), required=False)
@click.option(
    "--env-file",
    "env_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Read settings from this file of NAME=VALUE lines, as systemd reads an EnvironmentFile."
    " They take precedence over the environment. Repeatable: the last value of a name counts.",
)
@output_option
def doctor(subject: str | None, env_files: Sequence[Path], output: str) -> None:
    """Find out why a host does not join or an API does not serve.

    Without an argument, checks the API if DATABASE_URL or LISTEN_ADDRESS is set, otherwise the
    host. Run it on the machine of the service, as its user and with its settings. It changes
    nothing.

    Exit codes: 0 if no check failed (warnings are allowed), 78 if a setting must be changed, 70 if
    a check itself crashed, 69 for any other failure.
    """
    context = click.get_current_context()
    if context.find_root().params["api"]:
        raise click.UsageError(
            "The doctor uses the settings of the service, so it does not accept --api: set"
            " API_ADDRESS instead."
        )
    # The results already contain what the adapters would log.
    logging.disable()
    from_files = _read(env_files)
    chosen, why = _chosen(subject, from_files if env_files else os.environ)
    sources = ", ".join([*map(str, env_files), "this environment"])
    print_lines(
        f"{_TITLES[chosen]}, {why}. Settings: {sources}. User: uid {os.geteuid()}.",
        err=output == "json",
    )
    results = []
    for name, result in _results(chosen, os.environ, from_files):
        results.append((name, result))
        if output == "text":
            print_lines(f"{result.outcome:<6}{name:<11}{result}")
    if output == "json":
        click.echo(as_json([_as_json(*each) for each in results]))
    causes = [result.cause for _, result in results if result.cause]
    context.exit(max((_EXIT_CODES[cause] for cause in causes), default=0))


def _read(files: Sequence[Path]) -> Mapping[str, str]:
    settings: dict[str, str] = {}
    for file in files:
        try:
            # Bytes that are not text are kept as an environment keeps them.
            text = file.read_text(errors="surrogateescape")
        except OSError as error:
            raise Failure(f"{file} cannot be read: {error.strerror}", os.EX_NOINPUT) from None
        settings.update(parse_environment_file(text))
    return settings


def _chosen(subject: str | None, settings: Mapping[str, str]) -> tuple[Subject, str]:
    if subject:
        return Subject(subject), "as requested"
    set_names = [name for name in _API_SETTINGS if settings.get(name)]
    if set_names:
        return Subject.API, f"because {set_names[0]} is set"
    return Subject.HOST, f"because none of {', '.join(_API_SETTINGS)} is set"


def _results(
    subject: Subject, environment: Mapping[str, str], from_files: Mapping[str, str]
) -> Iterator[tuple[str, CheckResult]]:
    # Imported late: the other commands start without the libraries of hosts and APIs.
    random_key = secrets.token_hex(16)
    checks: Sequence[Check] | None = None
    if subject is Subject.API:
        from entrypoints.api.settings import ApiSettings
        from entrypoints.cli.doctor.api import api_checks

        api_settings, wrong, problems = examine_settings(ApiSettings, environment, from_files)
        if api_settings:
            checks = api_checks(api_settings, random_key)
    else:
        from entrypoints.cli.doctor.host import host_checks
        from entrypoints.host.settings import HostSettings

        host_settings, wrong, problems = examine_settings(HostSettings, environment, from_files)
        if host_settings:
            checks = host_checks(host_settings, random_key)
    for result in problems:
        yield "Settings", result
    if checks is None:
        yield "All else", CheckResult(Outcome.SKIP, "not checked, because the settings are wrong")
    else:
        yield from RunChecks(_bounded)(checks, {name: f"{name} is wrong" for name in wrong})


def _bounded(check: Callable[[], CheckResult]) -> CheckResult:
    return CallWithTimeout(check, _MAX_CHECK_SECONDS, CheckTimedOut)()


def _as_json(check: str, result: CheckResult) -> Mapping[str, object]:
    return {
        "check": check,
        "outcome": result.outcome.lower(),
        "summary": result.summary,
        "fix": result.fix,
        # The names of the two in the first version; programs may still read them.
        "found": result.summary,
        "cure": result.fix,
    }
