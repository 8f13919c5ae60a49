import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from entrypoints.command import Command
from entrypoints.settings import ServiceSettings, integer, setting


@dataclass(frozen=True, kw_only=True)
class TeaSettings(ServiceSettings):
    cups: int = setting(1, "cups of tea", integer(1, 9), old_names=("MUGS",))


def serve(settings: TeaSettings) -> int:
    return settings.cups


def check_health(_: TeaSettings) -> None: ...


@pytest.fixture
def tea(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command[TeaSettings]]:
    monkeypatch.setenv("LOG_FORMAT", "console")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Command("tea", "Makes tea.", TeaSettings, serve, check_health)
    root.handlers[:], root.level = handlers, level


def test_a_start_with_an_old_name_logs_a_warning_with_both_names(
    tea: Command[TeaSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["tea"])
    monkeypatch.setenv("MUGS", "3")

    assert tea.run() == 3
    assert "warning MUGS is deprecated: rename it to CUPS" in capsys.readouterr().err


def test_config_prints_the_new_name_and_warns_beside_it(
    tea: Command[TeaSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["tea", "config"])
    monkeypatch.setenv("MUGS", "3")

    assert tea.run() == os.EX_OK
    output = capsys.readouterr()
    assert "CUPS=3" in output.out.splitlines()
    assert output.err == "tea: MUGS is deprecated: rename it to CUPS.\n"


def test_both_names_together_are_a_configuration_error(
    tea: Command[TeaSettings],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["tea"])
    monkeypatch.setenv("MUGS", "3")
    monkeypatch.setenv("CUPS", "3")

    assert tea.run() == os.EX_CONFIG
    assert capsys.readouterr().err == ("tea: CUPS: MUGS, its old name, is set too: remove MUGS.\n")
