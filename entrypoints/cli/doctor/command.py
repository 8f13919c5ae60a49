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

# Each step of a check has a shorter limit of its own; this is for what has none.
_MAX_CHECK_SECONDS = 10.0

_EXIT_CODES = {
    Cause.ENVIRONMENT: os.EX_UNAVAILABLE,
    Cause.BUG: os.EX_SOFTWARE,
    Cause.SETTING: os.EX_CONFIG,
}

# What only an API is told.
_OF_AN_API = ("DATABASE_URL", "PG_DATABASE_URL", "DATABASE_URL_FILE", "LISTEN_ADDRESS")


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
    help="Read settings from this file of NAME=VALUE lines as systemd reads an EnvironmentFile;"
    " they win over the environment. May be given several times; the last value of a name counts.",
)
@output_option
def doctor(subject: str | None, env_files: Sequence[Path], output: str) -> None:
    """Find out why a host does not join or an API does not serve.

    Without a subject it is the API where DATABASE_URL or LISTEN_ADDRESS is set, else the host.
    Run it on the machine of the service, as its user and with its settings. It changes nothing.

    Exits with 0 when no check failed, warnings allowed, with 78 when a setting has to be changed,
    with 70 when a check itself broke, else with 69.
    """
    context = click.get_current_context()
    if context.find_root().params["api"]:
        raise click.UsageError(
            "The doctor goes by the settings of the service and takes no --api: name the API in"
            " API_ADDRESS."
        )
    # What adapters tell a log is told by the findings.
    logging.disable()
    from_files = _read(env_files)
    chosen, why = _chosen(subject, from_files if env_files else os.environ)
    sources = ", ".join([*map(str, env_files), "this environment"])
    print_lines(
        f"{_TITLES[chosen]}, {why}. Settings: {sources}. User: uid {os.geteuid()}.",
        err=output == "json",
    )
    shown = []
    for name, finding in _findings(chosen, os.environ, from_files):
        shown.append((name, finding))
        if output == "text":
            print_lines(f"{finding.outcome:<6}{name:<11}{finding}")
    if output == "json":
        click.echo(as_json([_as_json(*found) for found in shown]))
    faults = [finding.cause for _, finding in shown if finding.cause]
    context.exit(max((_EXIT_CODES[fault] for fault in faults), default=0))


def _read(files: Sequence[Path]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for file in files:
        try:
            # An environment keeps bytes that are no text in the same way.
            text = file.read_text(errors="surrogateescape")
        except OSError as error:
            raise Failure(f"{file} cannot be read: {error.strerror}", os.EX_NOINPUT) from None
        found.update(parse_environment_file(text))
    return found


def _chosen(subject: str | None, settings: Mapping[str, str]) -> tuple[Subject, str]:
    if subject:
        return Subject(subject), "as asked"
    telling = [name for name in _OF_AN_API if settings.get(name)]
    if telling:
        return Subject.API, f"because {telling[0]} is set"
    return Subject.HOST, f"because none of {', '.join(_OF_AN_API)} is set"


def _findings(
    subject: Subject, environment: Mapping[str, str], from_files: Mapping[str, str]
) -> Iterator[tuple[str, CheckResult]]:
    # Imported here: the other commands start without the libraries of hosts and APIs.
    random_key = secrets.token_hex(16)
    checks: Sequence[Check] | None = None
    if subject is Subject.API:
        from entrypoints.api.settings import ApiSettings
        from entrypoints.cli.doctor.api import api_checks

        api_settings, wrong, findings = examine_settings(ApiSettings, environment, from_files)
        if api_settings:
            checks = api_checks(api_settings, random_key)
    else:
        from entrypoints.cli.doctor.host import host_checks
        from entrypoints.host.settings import HostSettings

        host_settings, wrong, findings = examine_settings(HostSettings, environment, from_files)
        if host_settings:
            checks = host_checks(host_settings, random_key)
    for finding in findings:
        yield "Settings", finding
    if checks is None:
        yield "All else", CheckResult(Outcome.SKIP, "not looked at, because of the settings")
    else:
        yield from RunChecks(_bounded)(checks, {name: f"{name} is wrong" for name in wrong})


def _bounded(look: Callable[[], CheckResult]) -> CheckResult:
    return CallWithTimeout(look, _MAX_CHECK_SECONDS, CheckTimedOut)()


def _as_json(check: str, finding: CheckResult) -> Mapping[str, object]:
    return {
        "check": check,
        "outcome": finding.outcome.lower(),
        "found": finding.summary,
        "cure": finding.fix,
    }
