"""Operator keys, from creating the first one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.processes import Api, run_to_end

NEEDED = (
    "manmanv2: operators' calls need an operator's key as a bearer token: set OPERATOR_KEY for"
    " the command\n"
)
CLOSES = (
    "From now on operators need a key on the API's own machine too. If all keys of admins are lost,"
    " set OPERATOR_KEY on the API."
)
ROLE_TOO_LOW = (
    "manmanv2: this call requires the role operator, and this operator has the role viewer\n"
)
REFUSED = (
    "manmanv2: the operator key or token is not valid: it is mistyped, expired,"
    " revoked or for another API\n"
)


@dataclass
class Operators:
    """`database` holds everything that the API stores."""

    api: Api
    database: Path

    def run(self, *arguments: str, key: str = "", stdin: str = "") -> CompletedProcess[str]:
        own = {"OPERATOR_KEY": key} if key else {}
        return run_to_end("manmanv2", *arguments, stdin=stdin, API_ADDRESS=self.api.address, **own)

    def create(self, *arguments: str, key: str = "") -> str:
        ended = self.run("operators", "create", *arguments, key=key)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.removesuffix("\n")


@pytest.fixture
def operators(start_api: Callable[..., Api], tmp_path: Path) -> Operators:
    database = tmp_path / "fleet.sqlite3"
    return Operators(start_api(f"sqlite:///{database}", LOG_LEVEL="debug"), database)


def test_once_an_admin_has_a_key_every_operator_needs_one(operators: Operators) -> None:
    assert operators.api.logged(
        "unless an admin has a key, only this machine may make operators' calls"
    )
    made = operators.run("operators", "create", "ann", "--role", "admin", "--expires", "30d")
    ann = made.stdout.removesuffix("\n")
    key_id, _, secret = ann.partition(".")
    without = operators.run("servers", "list")
    bob = operators.create("Bob ✓", "--role", "viewer", key=ann)
    looks = operators.run("servers", "list", key=bob)
    prunes = operators.run("servers", "prune", "--yes", key=bob)
    listed = operators.run("operators", "list", key=ann)

    first, *hints = made.stderr.splitlines()
    assert first.startswith(f"created the key {key_id} for ann (admin, until 20")
    assert hints == [
        "It is not shown again: set it as OPERATOR_KEY for this command.",
        CLOSES,
    ]
    assert (without.returncode, without.stderr) == (77, NEEDED)
    assert looks.returncode == 0
    assert (prunes.returncode, prunes.stderr) == (77, ROLE_TOO_LOW)
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    assert sorted(row[1:4] for row in rows) == [["Bob", "✓", "viewer"], ["ann", "admin", "valid"]]
    assert {row[-1] for row in rows} == {"ann", "local"}

    operators.api.terminate()
    stored = b"".join(file.read_bytes() for file in operators.database.parent.iterdir())
    assert key_id.encode() in stored
    assert secret.encode() not in stored
    assert not operators.api.logged(secret)
    assert secret not in listed.stdout + made.stderr


def test_keys_are_revoked_by_their_ids_and_the_callers_own_last(operators: Operators) -> None:
    ann = operators.create("ann", "--role", "admin")
    bob = operators.create("bob", "--role", "viewer", key=ann)
    ids = [key.partition(".")[0] for key in (ann, bob)]
    whole = operators.run("operators", "revoke", bob, "--yes", key=ann)
    declined = operators.run("operators", "revoke", *ids, key=ann, stdin="n\n")
    revoked = operators.run("operators", "revoke", *ids, key=ann, stdin="y\n")

    assert (whole.returncode, whole.stderr) == (
        65,
        (
            "manmanv2: key_id must be ok- or oc- followed by 10 letters and digits, without the"
            " secret\n"
        ),
    )
    assert declined.returncode == 1
    assert revoked.returncode == 0
    assert "These are the last keys of admins" in revoked.stdout
    assert "Revoke these 2 keys?" in revoked.stdout
    assert revoked.stdout.splitlines()[-2].endswith(f"revoked the key {ids[1]} of bob (viewer)")
    assert revoked.stdout.splitlines()[-1] == f"revoked the key {ids[0]} of ann (admin)"
    for key in (ann, bob):
        ended = operators.run("servers", "list", key=key)
        assert (ended.returncode, ended.stderr) == (77, REFUSED)
    assert operators.run("servers", "list").returncode == 77
