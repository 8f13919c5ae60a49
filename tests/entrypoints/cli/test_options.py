import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from entrypoints.cli.commands import manmanv2

# What they print is for a person or a shell, or is a document itself.
WITHOUT_JSON = {"completion", "configs get", "demo"}


def _commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(_commands(manmanv2))


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_JSON))
def test_every_command_that_prints_a_result_has_the_one_option_for_json(name: str) -> None:
    option = next((found for found in COMMANDS[name].params if "--output" in found.opts), None)

    assert option, f"{name} has no output_option"
    assert "-o" in option.opts
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == ["text", "json"]
    assert option.default == "text"


def test_the_exceptions_are_commands() -> None:
    assert COMMANDS.keys() >= WITHOUT_JSON


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_says_what_it_is_for(name: str) -> None:
    command = COMMANDS[name]

    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


def test_help_and_completion_wait_for_no_library_that_is_slow_to_load() -> None:
    slow = {
        *("alembic", "cryptography", "docker", "grpc", "kombu"),
        *("psutil", "requests", "sqlalchemy", "ssl"),
    }
    program = f"import sys, entrypoints.cli.commands; print([*({slow} & sys.modules.keys())])"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert loaded.stdout == "[]\n"
