"""`manmanv2 operators create --certificate` writes a file, and leaves none if it gets no
certificate."""

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
            # The file exists before the call, and only its owner may read it.
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
                "the API is older than this command and created the key oc-aaaaaaaaaa instead of a"
                " certificate: revoke that key, which nobody has"
            ),
        ),
    ],
)
def test_no_file_is_left_if_no_certificate_was_issued(
    create: Callable[[Answer], Result],
    tmp_path: Path,
    answer: Answer,
    exit_code: int,
    sentence: str,
) -> None:
    ended = create(answer)

    assert (ended.exit_code, ended.stderr) == (exit_code, f"manmanv2: {sentence}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_left_alone(create: Callable[[Answer], Result], tmp_path: Path) -> None:
    file = tmp_path / "ann.pem"
    file.write_text("as before")
    existing = create(refuses)
    assert file.read_text() == "as before"
    file.unlink()
    file.symlink_to(tmp_path / "nowhere" / "ann.pem")
    nowhere = create(refuses)

    assert (existing.exit_code, nowhere.exit_code) == (73, 73)
    assert existing.stderr == (
        f"manmanv2: {file} already exists and is not overwritten: choose another file, or move it"
        " away\n"
    )
