"""Shell completion with the script of `manmanv2 completion SHELL`."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.support.processes import TIMEOUT_SECONDS, Api, client, eventually, run_to_end

COMMANDS = str(Path(sys.executable).parent)

# The steps of an interactive bash when Tab is pressed after the words.
PRESS_TAB = """
eval "$(manmanv2 completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
compopt() {{ :; }}
_manmanv2_completion manmanv2
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(words: str, **variables: str) -> list[str]:
    """The completions that bash offers for the last word, which may be ''."""
    ended = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB.format(words=words)],
        env={"PATH": f"{COMMANDS}:/usr/bin:/bin", "LANG": "C.UTF-8", **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


def test_bash_completes_commands_options_and_choices() -> None:
    assert {"servers", "configs", "db", "demo"} <= set(completed("manmanv2 ''"))
    assert completed("manmanv2 servers se") == ["set-default"]
    assert completed("manmanv2 servers watch --ev") == ["--every"]
    assert completed("manmanv2 servers list --status o") == ["online", "offline"]
    assert completed("manmanv2 completion z") == ["zsh"]


def test_bash_completes_the_ids_of_servers(api: Api) -> None:
    with client(api.address) as stub:
        for number in range(12):
            stub.CreateServer(pb.CreateServerRequest(name=f"box-{number}"))

    # Completion gives up after a second, which a busy machine may need.
    for words, ids in {
        "manmanv2 servers show 1": ["1", "10", "11", "12"],
        f"manmanv2 --api {api.address} configs put 12": ["12"],
    }.items():
        offered = eventually(partial(completed, words, API_ADDRESS=api.address), words)
        assert offered == ids


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no address"])
def test_without_an_api_no_ids_are_completed_and_nothing_is_printed(address: str) -> None:
    assert completed("manmanv2 servers show ''", API_ADDRESS=address) == []


def test_completion_does_not_wait_for_an_api_that_hangs() -> None:
    program = """
import threading
import click
from entrypoints.cli import options

# Stands for a call that the API never answers.
options.api = lambda context: threading.Event().wait()
options.ServerId().shell_complete(None, None, "")
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=TIMEOUT_SECONDS)

    assert ended.returncode == os.EX_UNAVAILABLE


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _manmanv2_completion manmanv2"),
        ("zsh", "compdef _manmanv2_completion manmanv2"),
        ("fish", "complete --no-files --command manmanv2"),
    ],
)
def test_each_shell_has_its_own_script(shell: str, line: str) -> None:
    printed = run_to_end("manmanv2", "completion", shell)

    assert printed.returncode == 0
    assert line in printed.stdout
    assert "_MANMANV2_COMPLETE" in printed.stdout
    assert printed.stderr == ""
