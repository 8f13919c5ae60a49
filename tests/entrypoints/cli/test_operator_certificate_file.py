"""Where `manmanv2 operators create --certificate` puts a certificate, and that nothing is left of
one that was not issued."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result

from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from domain.operator_key import OperatorKey
from domain.role import Role
from entrypoints.cli.commands import manmanv2
from tests.support.builders import NOW

ROW = OperatorKey("oc-aaaaaaaaaa", "", "ann", Role.ADMIN, NOW, "bob", NOW)
Answer = Callable[[], tuple[OperatorKey, str]]


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Answer], Result]:
    def run(answer: Answer) -> Result:
        def call(*_: Any) -> tuple[OperatorKey, str]:
            # It is there before anything is asked for, and for its owner alone.
            assert (tmp_path / "ann.pem").stat().st_mode & 0o777 == 0o600
            return answer()

        monkeypatch.setattr(OperatorClient, "create_operator_certificate", call)
        arguments = ["create", "ann", "--role", "admin", "--certificate", str(tmp_path / "ann.pem")]
        return CliRunner().invoke(manmanv2, ["operators", *arguments])

    return run


def test_the_file_holds_the_certificate_and_its_key(
    create: Callable[[Answer], Result], tmp_path: Path
) -> None:
    ended = create(lambda: (ROW, "the certificate\n"))
    content = (tmp_path / "ann.pem").read_text()

    assert (ended.exit_code, ended.stdout) == (0, "oc-aaaaaaaaaa\n")
    assert content.startswith("the certificate\n-----BEGIN PRIVATE KEY-----\n")
    assert content.splitlines()[3] not in ended.output


def refuses() -> tuple[OperatorKey, str]:
    raise OperatorCallFailed("no", grpc.StatusCode.PERMISSION_DENIED)


@pytest.mark.parametrize(
    ("answer", "exit_code", "sentence"),
    [
        (refuses, 77, "no"),
        (
            lambda: (ROW, ""),
            69,
            (
                "the API is older than this command and issued no certificate: revoke"
                " oc-aaaaaaaaaa, the key that it made instead and nobody has"
            ),
        ),
    ],
)
def test_nothing_is_left_of_one_that_was_not_issued(
    create: Callable[[Answer], Result],
    tmp_path: Path,
    answer: Answer,
    exit_code: int,
    sentence: str,
) -> None:
    ended = create(answer)

    assert (ended.exit_code, ended.stderr) == (exit_code, f"manmanv2: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_or_cannot_be_is_left_alone(
    create: Callable[[Answer], Result], tmp_path: Path
) -> None:
    file = tmp_path / "ann.pem"
    file.write_text("of before")
    there = create(refuses)
    assert file.read_text() == "of before"
    file.unlink()
    file.symlink_to(tmp_path / "nowhere" / "ann.pem")
    nowhere = create(refuses)

    assert (there.exit_code, nowhere.exit_code) == (73, 73)
    assert there.stderr == (
        f"manmanv2: {file} is there already, and is not overwritten: name another, or move it"
        " away\n"
    )
