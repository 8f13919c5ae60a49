import subprocess
import sys
from collections.abc import Iterator

import click

from entrypoints.cli.commands import manmanv2

# Their output is for a person or a shell, or is a document itself.
WITHOUT_JSON = {"completion", "configs get", "demo"}


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path}{name} ")


ALL = dict(_commands(manmanv2))
COMMANDS = {name: found for name, found in ALL.items() if not isinstance(found, click.Group)}


def _has_json_option(command: click.Command) -> bool:
    return any(
        {"-o", "--output"} <= set(option.opts)
        and isinstance(option.type, click.Choice)
        and list(option.type.choices) == ["text", "json"]
        and option.default == "text"
        for option in command.params
    )


def test_every_command_that_prints_a_result_has_the_option_for_json() -> None:
    without = {name for name, command in COMMANDS.items() if not _has_json_option(command)}

    assert without == WITHOUT_JSON


def test_every_command_group_and_option_has_a_help_text_of_whole_sentences() -> None:
    texts = {name: command.help for name, command in ALL.items()}
    for name, command in ALL.items():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                texts[f"{name} {'/'.join(option.opts)}"] = option.help
    offenders = [
        name
        for name, text in texts.items()
        if not text or not text[0].isupper() or not text.split("\n\n")[0].strip().endswith(".")
    ]

    assert offenders == []


def test_the_list_of_commands_cuts_no_sentence_on_a_terminal_of_80_columns() -> None:
    groups = {"": manmanv2, **ALL}
    offenders = [
        f"{name}: {line.strip()}"
        for name, group in groups.items()
        if isinstance(group, click.Group)
        for line in _help(group).partition("Commands:")[2].splitlines()
        if line.endswith("...")
    ]

    assert offenders == []


def _help(command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name="manmanv2", terminal_width=80))


def test_help_and_completion_load_no_slow_library() -> None:
    slow = {
        *("alembic", "cryptography", "docker", "grpc", "kombu"),
        *("psutil", "requests", "rich", "sqlalchemy", "ssl"),
    }
    program = f"import sys, entrypoints.cli.commands; print([*({slow} & sys.modules.keys())])"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout == "[]\n"
