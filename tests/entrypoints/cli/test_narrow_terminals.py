"""The lists that commands print, on terminals of 80 and 120 columns."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from adapters.grpc.client.operator_client import OperatorClient
from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.store.access.audit import AuditEntry
from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.deleted_servers import DeletedServer
from application.ports.store.dry_run_refusals import DryRunRefusal
from domain.configuration import ConfigurationSummary
from domain.conflict import Conflict, ConflictState
from domain.enforcement import Switch
from domain.join_key import JoinKey
from domain.labels import parse_selector
from domain.liveness import offline_presence
from domain.machine_evidence import Identity
from domain.operator_key import OperatorKey
from domain.role import Role
from domain.server import Server
from entrypoints.cli.commands import manmanv2
from tests.support.builders import CAPABILITIES, NOW
from tests.support.tty import replace_stdout

NAME = "gameserver-nyc-00042"
ADDRESS = "203.0.113.117"
YEAR = timedelta(days=365)

SERVER = Server(4242, NAME, "production", offline_presence(NOW), capabilities=CAPABILITIES)
OPERATOR = OperatorKey("ok-aaaaaaaaaa", "", NAME, Role.OPERATOR, NOW, NAME, NOW + YEAR)
CONFLICT = Conflict(
    17,
    4242,
    NAME,
    ConflictState.SUSPECTED,
    Identity(address=ADDRESS),
    NOW,
    Identity(address=ADDRESS),
    NOW,
    NOW,
)
JOIN_KEY = UsedJoinKey(
    JoinKey("jk-aaaaaaaaaa", "", NOW, NAME, "production", NAME, {"region": "nyc"}, 100, NOW + YEAR),
    used=42,
)
USE = JoinKeyUse("jk-aaaaaaaaaa", 4242, NAME, ADDRESS, NOW, NOW, 12)
DOCUMENT = ConfigurationSummary(NAME, 123456, NOW, parse_selector("region=nyc,tier=gold"))
ENTRY = AuditEntry(NOW, NAME, "ok-aaaaaaaaaa", ADDRESS, "DeleteConfiguration", 4242, NAME)
REFUSAL = DryRunRefusal(1, Switch.NAME_CONFLICT, 4242, NAME, "another machine has it", 3, NOW, NOW)
DELETED = DeletedServer(SERVER, NOW, NOW + YEAR, "an operator deleted it")

# What the API returns, by the method of the client that a command calls.
COMMANDS: dict[tuple[str, ...], tuple[str, Sequence[Any]]] = {
    ("servers", "list"): ("servers", [SERVER]),
    ("servers", "list", "--deleted"): ("deleted_servers", [DELETED]),
    ("machines", "list"): ("servers", [SERVER]),
    ("configs", "list"): ("configurations", [DOCUMENT]),
    ("configs", "list", "4242"): ("configurations", [DOCUMENT]),
    ("configs", "effective", "4242"): ("effective_configurations", [DOCUMENT]),
    ("conflicts", "list"): ("conflicts", [CONFLICT]),
    ("keys", "list"): ("join_keys", [JOIN_KEY]),
    ("keys", "usage", "jk-aaaaaaaaaa"): ("join_key_uses", [USE]),
    ("operators", "list"): ("operator_keys", [OPERATOR]),
    ("audit", "list"): ("audit", [ENTRY]),
    ("audit", "dry-run"): ("dry_run_refusals", [REFUSAL]),
}


def returns(value: object) -> Callable[..., object]:
    return lambda *_, **__: value


@pytest.mark.parametrize("width", [80, 120])
def test_every_list_shows_a_name_of_20_letters_whole_and_on_one_line(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    assert len(NAME) == 20
    offenders = {}
    for command, (method, objects) in COMMANDS.items():
        with monkeypatch.context() as patch:
            terminal = replace_stdout(patch, width)
            patch.setattr(OperatorClient, method, returns(objects))
            manmanv2.main(command, standalone_mode=False)
        table = terminal.text.split("\n\n")[0].split("No room for")[0]
        lines = table.rstrip("\n").split("\n")
        if len(lines) != 2 or NAME not in lines[1] or "…" in table or len(lines[1]) > width:
            offenders[command] = lines

    assert offenders == {}


def test_in_a_pipe_every_list_is_complete(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(OperatorClient, "join_keys", returns([JOIN_KEY]))
    manmanv2.main(("keys", "list"), standalone_mode=False)

    assert capsys.readouterr().out.splitlines()[1] == (
        "jk-aaaaaaaaaa  valid  42/100  production   gameserver-nyc-00042  2027-02-28T23:59:58Z"
        f"  region=nyc  2026-02-28T23:59:58Z  {NAME}"
    )
