"""`manmanv2 ca`, which needs no API."""

import json
import os
import ssl
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.x509.authority import read_authority
from adapters.x509.create_ca import create_ca
from adapters.x509.inspection import inspect
from entrypoints.cli.commands import manmanv2
from tests.support.certified import A_DAY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(manmanv2, ["ca", *arguments])


def succeed(*arguments: str) -> str:
    ended = run(*arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def test_a_ca_is_a_public_certificate_and_a_key_that_only_its_owner_may_read(folder: Path) -> None:
    output = succeed("init", "--name", "Our CA", "--folder", "site")
    (made,) = inspect(Path("site/ca.crt").read_bytes())

    assert modes(folder / "site") == {"ca.crt": 0o644, "ca.key": 0o600}
    assert made.subject == made.issuer == "CN=Our CA"
    assert abs(made.expires - datetime.now(UTC) - 3650 * A_DAY) < A_DAY
    assert read_authority(Path("site/ca.crt"), Path("site/ca.key")).digest == made.digest
    assert f"sha256   {made.digest}" in output
    for part in ("CA_CERT_PATH=", "CA_KEY_PATH=", "API_CA_CERT_PATH", "--pin-ca", "ca issue"):
        assert part in output
    assert str(folder / "site/ca.key") in output
    assert "PRIVATE" not in output


@pytest.mark.parametrize("existing", ["ca.crt", "ca.key"])
def test_an_existing_ca_is_never_overwritten(folder: Path, existing: str) -> None:
    Path(existing).write_text("as before")
    ended = run("init")

    assert ended.exit_code == 73
    assert ended.stderr == (
        f"manmanv2: {existing} already exists and is not overwritten: choose another --folder, or"
        " move it away\n"
    )
    assert [file.name for file in folder.iterdir()] == [existing]
    assert Path(existing).read_text() == "as before"


@pytest.mark.parametrize(
    ("lifetime", "days"), [("90d", 90), ("2y", 730), ("24h", 1), ("100y", 36500)]
)
def test_a_lifetime_may_be_given_in_hours_days_and_years(
    folder: Path, lifetime: str, days: int
) -> None:
    succeed("init", "--lifetime", lifetime)
    (made,) = inspect(Path("ca.crt").read_bytes())

    assert abs(made.expires - datetime.now(UTC) - days * A_DAY) < timedelta(minutes=1)


@pytest.mark.parametrize("lifetime", ["101y", "999999d", "0y", "y", "-1y", "1 y", "1w", "\u0661y"])
def test_an_invalid_or_too_long_lifetime_creates_nothing(folder: Path, lifetime: str) -> None:
    assert run("init", f"--lifetime={lifetime}").exit_code == 2
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_no_certificate_can_have_creates_nothing(folder: Path, name: str) -> None:
    ended = run("init", "--name", name)

    assert ended.exit_code == 65
    assert ended.stderr.startswith("manmanv2: --name must ")
    assert not list(folder.iterdir())


def test_an_api_certificate_is_valid_for_its_names_and_ends_with_the_ca(
    folder: Path,
) -> None:
    succeed("init", "--lifetime", "30d")
    output = succeed("issue", "api.example.com", "10.0.0.1", "::1", "*.example.com")
    made, *others = inspect(Path("tls.crt").read_bytes())
    (own,) = inspect(Path("ca.crt").read_bytes())

    assert modes(folder)["tls.crt"] == 0o644
    assert modes(folder)["tls.key"] == 0o600
    assert list(made.names) == ["api.example.com", "10.0.0.1", "::1", "*.example.com"]
    assert made.expires == own.expires
    assert others == []
    assert f"TLS_CERT_PATH={folder / 'tls.crt'}" in output
    assert f"TLS_KEY_PATH={folder / 'tls.key'}" in output
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("tls.crt", "tls.key")


def test_a_new_certificate_replaces_the_old_one_and_keeps_its_owner_and_mode(
    folder: Path,
) -> None:
    succeed("init")
    succeed("issue", "a")
    before = Path("tls.crt").read_text(), Path("tls.key").read_text()
    Path("tls.key").chmod(0o640)
    Path("tls.crt").chmod(0o600)
    if os.geteuid() == 0:
        os.chown("tls.key", 10001, 10002)
    with Path("tls.key").open() as reader:
        output = succeed("issue", "b")
        while_reading = reader.read()
    after = Path("tls.crt").read_text(), Path("tls.key").read_text()

    assert "An API that runs with these files picks them up within seconds." in output
    assert after[0] != before[0]
    assert after[1] != before[1]
    # A reader that opened the old file still reads all of it.
    assert while_reading == before[1]
    assert modes(folder) == {"ca.crt": 0o644, "ca.key": 0o600, "tls.crt": 0o600, "tls.key": 0o640}
    if os.geteuid() == 0:
        status = Path("tls.key").stat()
        assert (status.st_uid, status.st_gid) == (10001, 10002)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain("tls.crt", "tls.key")


@pytest.mark.parametrize("name", ["", "a b", "http://a", "-a"])
def test_an_invalid_name_changes_nothing(folder: Path, name: str) -> None:
    succeed("init")
    ended = run("issue", "localhost", "--", name)

    assert ended.exit_code == 65
    assert ended.stderr == f"manmanv2: {name!r} is neither a DNS name nor an IP address\n"
    assert set(modes(folder)) == {"ca.crt", "ca.key"}


def test_an_unusable_ca_is_one_sentence_that_names_the_file(
    folder: Path,
) -> None:
    without = run("issue", "a")
    succeed("init")
    Path("ca.key").write_text("no")
    spoiled = run("issue", "a")

    assert (without.exit_code, spoiled.exit_code) == (78, 78)
    assert without.stderr == (
        "manmanv2: ca.crt cannot be read (No such file or directory): check the file and its"
        " permissions\n"
    )
    assert spoiled.stderr == (
        "manmanv2: ca.key contains no PEM private key: it must be the private key of the CA, such"
        " as `manmanv2 ca init` creates\n"
    )


def test_an_expired_ca_issues_nothing(folder: Path) -> None:
    certificate, key = create_ca("old", timedelta(minutes=-1))
    Path("ca.crt").write_text(certificate)
    Path("ca.key").write_text(key)
    ended = run("issue", "a")

    assert ended.exit_code == 69
    assert ended.stderr.startswith("manmanv2: ca.crt expired on 20")
    assert ended.stderr.endswith(
        " UTC: create a new CA with `manmanv2 ca init` in another --folder\n"
    )
    assert set(modes(folder)) == {"ca.crt", "ca.key"}


def test_an_intermediate_ca_is_sent_after_the_certificate(folder: Path) -> None:
    import trustme

    intermediate = trustme.CA().create_child_ca()
    intermediate.cert_pem.write_to_path("ca.crt")
    intermediate.private_key_pem.write_to_path("ca.key")
    succeed("issue", "a")

    leaf, shown = inspect(Path("tls.crt").read_bytes())
    assert leaf.issuer == shown.subject
    assert [shown] == list(inspect(Path("ca.crt").read_bytes()))


def test_each_certificate_in_a_file_is_shown(folder: Path) -> None:
    succeed("init", "--name", "old")
    old = Path("ca.crt").read_bytes()
    succeed("init", "--name", "new", "--folder", "new")
    Path("ca.crt").write_bytes(Path("new/ca.crt").read_bytes() + old)
    text, as_json = succeed("show"), json.loads(succeed("show", "ca.crt", "-o", "json"))

    assert [part.splitlines()[0] for part in text.split("\n\n")] == [
        "subject  CN=new",
        "subject  CN=old",
    ]
    assert [certificate["sha256"] for certificate in as_json] == [
        made.digest for made in inspect(Path("ca.crt").read_bytes())
    ]
    assert all(certificate["expires_at"].endswith("Z") for certificate in as_json)


@pytest.mark.parametrize(
    ("content", "sentence", "code"),
    [
        (None, "x.pem cannot be read (No such file or directory)", 66),
        ("no", "x.pem does not contain a PEM certificate", 65),
    ],
)
def test_a_file_without_a_certificate_is_one_sentence(
    folder: Path, content: str | None, sentence: str, code: int
) -> None:
    if content:
        Path("x.pem").write_text(content)
    ended = run("show", "x.pem")

    assert (ended.exit_code, ended.stderr) == (code, f"manmanv2: {sentence}\n")


def test_with_o_json_nothing_else_is_printed(folder: Path) -> None:
    for arguments in (("init",), ("issue", "a")):
        printed = json.loads(succeed(*arguments, "-o", "json"))
        assert set(printed) == {"subject", "issuer", "names", "valid_from", "expires_at", "sha256"}


def test_no_other_command_loads_the_cryptography_library(folder: Path) -> None:
    program = """
import contextlib, os, sys
os.environ["API_CLIENT_CERT_PATH"] = "nowhere.pem"
from entrypoints.cli.commands import manmanv2
with contextlib.suppress(SystemExit):
    manmanv2(["--api", "https://127.0.0.1:1", "servers", "list"])
print("cryptography" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "False\n"
    assert "API_CLIENT_CERT_PATH: nowhere.pem cannot be read" in ended.stderr
