"""The manual pages, from what the commands declare and from texts that no declaration contains."""

import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import cleandoc
from textwrap import dedent
from typing import Any

import click

from docs.generator import roff
from docs.generator.declared_settings import declared_settings
from entrypoints.api.main import command as api_command
from entrypoints.api.settings import ApiSettings
from entrypoints.cli.commands import manmanv2
from entrypoints.cli.session import EXIT_CODES
from entrypoints.cli.settings import CliSettings
from entrypoints.command import Command
from entrypoints.host.main import command as host_command
from entrypoints.host.settings import HostSettings
from entrypoints.settings import VERSION, Settings

_INTERRUPTED = 128 + signal.SIGINT

_MEANINGS = {
    os.EX_OK: "Success, or a clean stop by a signal.",
    1: "The answer to a question was no, or the reader of the output went away.",
    2: "The command line is wrong.",
    os.EX_DATAERR: "An input breaks a rule: a name, a document or a field.",
    os.EX_NOINPUT: "A server, a document, a key or a conflict does not exist.",
    os.EX_UNAVAILABLE: "The API, the database or the message broker does not answer, or the"
    " state of a server does not allow the call.",
    os.EX_SOFTWARE: "A bug in the command or in the API. Please report it.",
    os.EX_CANTCREAT: "A file already exists, or another server has this name.",
    os.EX_IOERR: "A file, a disk or a pipe failed.",
    os.EX_TEMPFAIL: "The API is overloaded: try again later. Or another host manager has"
    " registered as this host's server.",
    os.EX_NOPERM: "The key is missing or invalid, the role is too low, the API answers operators on"
    " its own machine only, or an operator refused this host.",
    os.EX_CONFIG: "A setting is wrong. The error names it and says what to do.",
    _INTERRUPTED: "Ctrl-C.",
}


@dataclass(frozen=True)
class _ByHand:
    """Texts that no declaration contains. Examples map a sentence to the lines to type."""

    purpose: str
    description: str
    exit_codes: Iterable[int]
    files: Mapping[str, str]
    examples: Mapping[str, str]


_OPERATOR = _ByHand(
    "the operator's command of ManManV2",
    """
    It calls the API that --api or API_ADDRESS names. On the API's own machine it needs no key
    until the API has an OPERATOR_KEY, an OIDC provider or an admin's key.

    Commands that print a result accept -o json. The JSON uses the names of the API's wire contract,
    and times are ISO 8601 in UTC. An error is one sentence on standard error and an exit code.

    On a terminal that is too narrow for a table, columns of figures are left out first and names
    are cut last. In a pipe nothing is cut. Control characters in names and texts are shown as
    escapes such as \\x1b.
    """,
    {*EXIT_CODES.values(), 0, 1, 2, os.EX_SOFTWARE, os.EX_IOERR, os.EX_CONFIG, _INTERRUPTED},
    {
        "./manmanv2.sqlite3": """
        The database of manmanv2 demo and of db upgrade, unless DATABASE_URL names another.
        """,
    },
    {
        "List the servers of an environment that are offline:": """
        manmanv2 servers list --environment production --status offline
        """,
        "Follow the fleet, with a line for each change:": """
        manmanv2 servers watch -o json | jq -c '[.time, .server.name, .server.status]'
        """,
        "Attach a document to server 42, and print it:": """
        manmanv2 configs put 42 limits limits.json
        manmanv2 configs get 42 limits
        """,
        "Show the servers not heard from for a month, then delete them:": """
        manmanv2 servers delete --not-seen-for 30d --dry-run
        manmanv2 servers delete --not-seen-for 30d
        """,
        "Upgrade a PostgreSQL database to this version's schema:": """
        DATABASE_URL_FILE=/run/secrets/database-url manmanv2 db upgrade
        """,
    },
)

_API = _ByHand(
    "the control plane's API server of ManManV2",
    """
    It keeps the registry of the fleet in memory, in an SQLite file or in PostgreSQL, and serves
    hosts and operators over gRPC until SIGTERM or SIGINT. Then it refuses new calls, finishes those
    in flight and stops. Any number of APIs may serve one PostgreSQL database.

    An SQLite file is created and upgraded at the start. For PostgreSQL, run manmanv2 db upgrade
    first.

    The log goes to standard error: lines for people on a terminal, otherwise JSON.
    """,
    (0, 2, os.EX_UNAVAILABLE, os.EX_SOFTWARE, os.EX_IOERR, os.EX_CONFIG),
    {"./manmanv2.sqlite3": "The database, unless DATABASE_URL names another."},
    {
        "Serve other machines from PostgreSQL, with keys from files:": """
        LISTEN_ADDRESS=0.0.0.0:50051 \\
        DATABASE_URL_FILE=/run/secrets/database-url \\
        REGISTRATION_KEY_FILE=/run/secrets/registration-key \\
        OPERATOR_KEY_FILE=/run/secrets/operator-key \\
        manmanv2-api
        """,
        "Print the settings in force, without secrets:": "manmanv2-api config",
        "Find out why it does not serve:": "manmanv2 doctor api",
    },
)

_HOST = _ByHand(
    "the host manager of ManManV2",
    """
    It names this machine, asks Docker for its capabilities, registers with the API, and sends
    heartbeats until SIGTERM or SIGINT. Then it tells the API that it stops, and the server is
    offline at once. A second signal stops it without telling the API.

    Temporary failures, such as an API or a Docker engine that does not answer, are retried forever
    and logged once. Permanent failures end it with an error and an exit code.

    The log goes to standard error: lines for people on a terminal, otherwise JSON. Under systemd
    with Type=notify it reports when it is ready.
    """,
    (
        *(0, 2, os.EX_UNAVAILABLE, os.EX_SOFTWARE, os.EX_IOERR),
        *(os.EX_TEMPFAIL, os.EX_NOPERM, os.EX_CONFIG),
    ),
    {
        "/var/run/docker.sock": """
        The socket of the Docker engine, unless DOCKER_SOCKET names another.
        """,
        "CONFIG_DIR/NAME.json": """
        The documents of the server's configuration, kept in step with the control plane.
        """,
        "STATE_DIR/state.json": """
        This host's identity: the id and the name of its server, and the machine on which it was
        written. Only its owner may read it. Do not copy it to other machines.
        """,
    },
    {
        "Register in production with the key from a file:": """
        API_ADDRESS=api.example.com:50051 ENVIRONMENT=production \\
        REGISTRATION_KEY_FILE=/run/secrets/registration-key manmanv2-host
        """,
        "Leave the fleet for good, after the host manager has stopped:": """
        STATE_DIR=/var/lib/manmanv2-host/state manmanv2-host deregister
        """,
        "Print the settings in force, without secrets:": "manmanv2-host config",
        "Find out why it does not join:": "manmanv2 doctor host",
    },
)


def man_pages() -> Mapping[str, str]:
    """The text of each page, by its file name."""
    root = click.Context(manmanv2, info_name="manmanv2")
    operator = [
        *_beginning("manmanv2", _OPERATOR, "[OPTIONS] COMMAND [ARGUMENTS]"),
        *roff.section("Options"),
        *_options(root),
        *roff.section("Commands"),
        *_commands(root),
    ]
    return {
        "manmanv2.1": _page("manmanv2", operator, CliSettings, _OPERATOR),
        "manmanv2-api.1": _page("manmanv2-api", _service(api_command(), _API), ApiSettings, _API),
        "manmanv2-host.1": _page(
            "manmanv2-host", _service(host_command(), _HOST), HostSettings, _HOST
        ),
    }


def _page(name: str, beginning: list[str], settings: type[Settings], by_hand: _ByHand) -> str:
    lines = [
        r".\" Written by `make docs` from docs/generator/man_pages.py and the command itself.",
        *roff.title(name, f"manmanv2 {VERSION}", "ManManV2"),
        *beginning,
        *roff.section("Environment"),
        *roff.paragraph("An empty variable counts as not set."),
    ]
    for setting in declared_settings(settings):
        lines += roff.item(
            f"{setting.variable} (default: {setting.default or 'none'})",
            setting.description,
            *(f"or {other}" for other in setting.other_variables),
            *(f"or {name} (deprecated)" for name in setting.old_names),
            *(f"or {file}, the path of a file that holds it" for file in setting.files),
        )
    lines += roff.section("Exit status")
    for code in sorted(by_hand.exit_codes):
        lines += roff.item(str(code), _MEANINGS[code])
    lines += roff.section("Files")
    for path, text in by_hand.files.items():
        lines += roff.item(path, text)
    lines += roff.section("Examples")
    for sentence, commands in by_hand.examples.items():
        lines += [*roff.paragraph(sentence), *roff.verbatim(cleandoc(commands).split("\n"))]
    others = [other for other in ("manmanv2", "manmanv2-api", "manmanv2-host") if other != name]
    lines += [*roff.section("See also"), ",\n".join(f"{roff.bold(other)}(1)" for other in others)]
    return roff.page(lines)


def _beginning(name: str, by_hand: _ByHand, usage: str) -> Iterator[str]:
    yield from [*roff.section("Name"), rf"{roff.escaped(name)} \- {roff.escaped(by_hand.purpose)}"]
    yield from [*roff.section("Synopsis"), f"{roff.bold(name)} {roff.escaped(usage)}"]
    yield from roff.section("Description")
    for text in cleandoc(by_hand.description).split("\n\n"):
        yield from roff.paragraph(text)


def _commands(group: click.Context) -> Iterator[str]:
    """All commands of the group and of its groups, by name, without hidden ones."""
    assert isinstance(group.command, click.Group)
    for name in group.command.list_commands(group):
        command = group.command.get_command(group, name)
        assert command
        if command.hidden:
            continue
        context = click.Context(command, info_name=name, parent=group)
        if isinstance(command, click.Group):
            yield from _commands(context)
            continue
        usage = command.collect_usage_pieces(context)
        yield from roff.subsection(" ".join([context.command_path, *usage]))
        yield from _help(command)
        yield from _options(context)


def _help(command: click.Command) -> Iterator[str]:
    for block in cleandoc(command.help or "").split("\n\n"):
        first, *others = block.split("\n")
        # click's mark for a block that must not be wrapped.
        if first == "\b":
            yield from roff.verbatim(dedent("\n".join(others)).split("\n"))
        else:
            yield from roff.paragraph(block)


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        # All commands have --help.
        if record and record[1] and "--help" not in parameter.opts:
            yield from roff.item(*record)


def _service(command: Command[Any], by_hand: _ByHand) -> list[str]:
    parser = command.parser()
    # Without the line breaks, which depend on the width of the terminal.
    usage = " ".join(parser.format_usage().partition(parser.prog)[2].split())
    lines = [*_beginning(parser.prog, by_hand, usage), *roff.section("Options")]
    for action in parser._actions:
        terms = ", ".join(action.option_strings) or "|".join(action.choices or ())
        lines += roff.item(terms, action.help or "")
    return lines
