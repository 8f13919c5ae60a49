import json

import pytest
from click.testing import CliRunner

from adapters.grpc.client.operator_client import OperatorClient
from application.ports.store.dry_run_refusals import DryRunRefusal
from domain.enforcement import Switch
from entrypoints.cli.commands import manmanv2
from tests.support.builders import NOW

REFUSAL = DryRunRefusal(1, Switch.BAN, 7, "web", "its machine is banned", 3, NOW, NOW)


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OperatorClient, "dry_run_refusals", lambda _: iter([REFUSAL]))


def test_dry_run_lists_what_enforcement_would_refuse() -> None:
    ended = CliRunner().invoke(manmanv2, ["audit", "dry-run"])

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[1].split() == [
        *("ban", "7", "web", "3", "2026-02-28T23:59:58Z", "2026-02-28T23:59:58Z"),
        *("its", "machine", "is", "banned"),
    ]


def test_the_old_name_works_with_a_warning_and_is_not_listed() -> None:
    old = CliRunner().invoke(manmanv2, ["audit", "would-reject", "-o", "json"])
    new = CliRunner().invoke(manmanv2, ["audit", "dry-run", "-o", "json"])
    listed = CliRunner().invoke(manmanv2, ["audit", "--help"])

    assert old.exit_code == 0
    assert json.loads(old.stdout) == json.loads(new.stdout)
    assert old.stderr == (
        "manmanv2: `audit would-reject` is now `audit dry-run`; the old name will be removed\n"
    )
    assert "would-reject" not in listed.stdout
