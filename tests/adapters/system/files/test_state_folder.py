import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.system.files.atomic_file import write_atomically
from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.system.files.checksummed_file import write_with_checksum
from adapters.system.files.regular_file import NotARegularFile
from adapters.system.files.state_folder import DiskStateFolder
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.state_folder import QuarantineReason, SavedState, StateFolderTaken
from domain.machine_evidence import Evidence
from tests.support.canary_secrets import canary
from tests.support.repository import ROOT

STATE = SavedState(
    server_id=42,
    name="mars-größer",
    environment="production",
    ephemeral=True,
    epoch=7,
    evidence=Evidence("a" * 32, "b" * 32, "", "d" * 32, "1" * 32),
    credential=canary("credential"),
)


@pytest.fixture
def folder(tmp_path: Path) -> DiskStateFolder:
    """One that holds a state."""
    folder = DiskStateFolder(tmp_path / "state")
    folder.lock()
    folder.write(STATE)
    return folder


def file_of(folder: DiskStateFolder) -> Path:
    return folder.path / "state.json"


def rewrite(folder: DiskStateFolder, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the file, and its checksum too."""
    fields = json.loads(file_of(folder).read_bytes())
    change(fields)
    fields.pop("checksum", None)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    fields["checksum"] = f"sha256:{sha256(canonical).hexdigest()}"
    file_of(folder).write_text(json.dumps(fields))


def test_a_state_survives_a_restart(folder: DiskStateFolder) -> None:
    assert DiskStateFolder(folder.path).read() == STATE


def test_a_new_directory_has_no_state(tmp_path: Path) -> None:
    folder = DiskStateFolder(tmp_path / "a" / "b")
    folder.lock()

    assert folder.read() is None


def test_only_the_owner_can_read_the_directory_and_its_files(folder: DiskStateFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o750)
    DiskStateFolder(tmp_path / "state").lock()

    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o750


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(NotADirectoryError, match="Not a directory"):
        DiskStateFolder(tmp_path / "state").lock()


def test_a_reader_sees_the_old_state_whole_during_a_write(folder: DiskStateFolder) -> None:
    before = file_of(folder).read_text()
    with file_of(folder).open() as reader:
        folder.write(replace(STATE, epoch=8))

        assert reader.read() == before


def test_a_symbolic_link_is_replaced_and_not_followed(
    folder: DiskStateFolder, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    file_of(folder).rename(precious)
    before = precious.read_text()
    file_of(folder).symlink_to(precious)
    folder.write(replace(STATE, epoch=8))

    assert precious.read_text() == before
    assert not file_of(folder).is_symlink()


def test_forgetting_removes_the_state(folder: DiskStateFolder) -> None:
    folder.forget()
    folder.forget()

    assert folder.read() is None


def test_the_state_of_an_earlier_version_has_no_credential(folder: DiskStateFolder) -> None:
    rewrite(folder, lambda fields: fields.pop("credential"))

    assert DiskStateFolder(folder.path).read() == replace(STATE, credential="")


def test_a_field_that_a_later_version_added_stays(folder: DiskStateFolder) -> None:
    badge = {"kind": "token", "text": "µ", "uses": [1, 2.5, None]}
    rewrite(folder, lambda fields: fields.update(badge=badge))
    again = DiskStateFolder(folder.path)
    state = again.read()
    again.write(replace(STATE, epoch=8))

    assert state == STATE
    assert json.loads(file_of(folder).read_bytes())["badge"] == badge
    assert DiskStateFolder(folder.path).read() == replace(STATE, epoch=8)


def test_a_field_that_a_later_version_added_does_not_outlive_its_state(
    folder: DiskStateFolder,
) -> None:
    rewrite(folder, lambda fields: fields.update(badge="of the other machine"))
    folder.read()
    quarantined = folder.quarantine(QuarantineReason.OF_ANOTHER_MACHINE)
    folder.write(STATE)

    assert "badge" not in json.loads(file_of(folder).read_bytes())
    assert "badge" in json.loads(Path(quarantined).read_bytes())


def test_a_quarantined_state_replaces_an_older_one(folder: DiskStateFolder) -> None:
    (folder.path / "state.json.of-another-machine").write_text("older")
    before = file_of(folder).read_text()
    quarantined = folder.quarantine(QuarantineReason.OF_ANOTHER_MACHINE)

    assert quarantined == str(folder.path / "state.json.of-another-machine")
    assert Path(quarantined).read_text() == before
    assert folder.read() is None


# Damage


def test_a_partly_restored_state_is_quarantined_with_a_warning(
    folder: DiskStateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    text = file_of(folder).read_text()
    file_of(folder).write_text(text.replace('"epoch": 7', '"epoch": 8'))
    states = [DiskStateFolder(folder.path).read() for _ in range(3)]

    assert states == [None] * 3
    assert (folder.path / "state.json.damaged").exists()
    assert not file_of(folder).exists()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "state.json is damaged: it was renamed to" in caplog.text


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_a_damaged_byte_is_detected_or_changes_nothing(
    folder: DiskStateFolder, data: st.DataObject
) -> None:
    folder.write(STATE)
    content = bytearray(file_of(folder).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    file_of(folder).write_bytes(content)

    assert DiskStateFolder(folder.path).read() in (None, STATE)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_file_content_is_a_crash(folder: DiskStateFolder, content: bytes) -> None:
    file_of(folder).write_bytes(content)

    assert DiskStateFolder(folder.path).read() is None


def test_a_truncated_file_is_damaged(folder: DiskStateFolder) -> None:
    content = file_of(folder).read_bytes()
    for length in range(0, len(content) - 1, 7):
        file_of(folder).write_bytes(content[:length])

        assert DiskStateFolder(folder.path).read() is None


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b" " * (2**20 + 1)])
def test_deeply_nested_or_huge_content_is_damaged(folder: DiskStateFolder, content: bytes) -> None:
    file_of(folder).write_bytes(content)

    assert folder.read() is None
    assert (folder.path / "state.json.damaged").read_bytes() == content


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 0},
        {"version": "1"},
        {"version": True},
        {"server_id": 0},
        {"server_id": "42"},
        {"server_id": 42.0},
        {"server_id": 2**63},
        {"server_id": None},
        {"name": ""},
        {"name": " mars"},
        {"name": "a\nb"},
        {"name": 7},
        {"environment": "e" * 101},
        {"environment": None},
        {"ephemeral": 1},
        {"epoch": -1},
        {"epoch": False},
        {"instance_id": "x" * 32},
        {"evidence": None},
        {"evidence": []},
        {"evidence": "abc"},
        {"evidence": {"machine_id": "a"}},
        {"evidence": dict.fromkeys(("machine_id", "hardware_id", "engine_id", "boot_id"), 7)},
    ],
)
def test_a_field_of_the_wrong_type_or_range_is_damage(
    folder: DiskStateFolder, wrong: dict[str, object]
) -> None:
    rewrite(folder, lambda fields: fields.update(wrong))

    assert folder.read() is None
    assert (folder.path / "state.json.damaged").exists()


@pytest.mark.parametrize(
    "key",
    [
        "version",
        "server_id",
        "name",
        "environment",
        "ephemeral",
        "epoch",
        "instance_id",
        "evidence",
    ],
)
def test_a_missing_field_is_damage(folder: DiskStateFolder, key: str) -> None:
    rewrite(folder, lambda fields: fields.pop(key))

    assert folder.read() is None


def test_a_state_without_a_checksum_is_damaged(folder: DiskStateFolder) -> None:
    fields = json.loads(file_of(folder).read_bytes())
    del fields["checksum"]
    file_of(folder).write_text(json.dumps(fields))

    assert folder.read() is None


def test_a_state_of_a_later_version_is_quarantined(
    folder: DiskStateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(folder, lambda fields: fields.update(version=2, name=["of", "another", "kind"]))

    assert folder.read() is None
    assert (folder.path / "state.json.of-a-later-version").exists()
    assert "written by a later version of the host manager" in caplog.text


def test_a_peek_returns_a_usable_state_and_changes_nothing(folder: DiskStateFolder) -> None:
    usable = folder.peek()
    file_of(folder).write_bytes(b"{")
    damaged = folder.peek()

    assert (usable, damaged) == (STATE, None)
    assert file_of(folder).read_bytes() == b"{"
    assert DiskStateFolder(folder.path / "nowhere").peek() is None


def test_another_layout_of_the_same_json_is_not_damage(folder: DiskStateFolder) -> None:
    fields = json.loads(file_of(folder).read_bytes())
    file_of(folder).write_text(json.dumps(dict(reversed(fields.items()))))

    assert folder.read() == STATE


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_directory_or_pipe_in_place_of_the_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    folder = DiskStateFolder(tmp_path)
    folder.lock()
    make(tmp_path / "state.json")

    with pytest.raises(NotARegularFile):
        folder.read()
    assert folder.peek() is None


def test_a_crash_during_a_write_leaves_the_old_state(folder: DiskStateFolder) -> None:
    with pytest.raises(UnicodeEncodeError):
        # Stands for a crash: a lone surrogate cannot be encoded in UTF-8.
        write_atomically(file_of(folder), "\ud800")

    assert DiskStateFolder(folder.path).read() == STATE


# Two host managers

HOLDER = """
import sys
from pathlib import Path
from adapters.system.files.state_folder import DiskStateFolder
DiskStateFolder(Path(sys.argv[1])).lock()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_directory_is_locked_until_its_process_ends_even_by_a_kill(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == "taken\n"
        folder = DiskStateFolder(tmp_path)
        with pytest.raises(StateFolderTaken, match="is in use by another host manager: stop"):
            folder.lock()
        holder.kill()
        holder.wait()

        folder.lock()
    folder.lock()


def test_a_second_host_in_the_same_process_is_refused(folder: DiskStateFolder) -> None:
    with pytest.raises(StateFolderTaken):
        DiskStateFolder(folder.path).lock()


@pytest.mark.parametrize(
    "ends",
    [
        lambda folder: folder.forget(),
        lambda folder: folder.quarantine(QuarantineReason.OF_ANOTHER_MACHINE),
        lambda folder: (file_of(folder).write_text("{}"), folder.read()),
    ],
    ids=["forgotten", "of another machine", "damaged"],
)
def test_the_certificate_of_a_server_is_removed_with_its_state(
    ends: Callable[[DiskStateFolder], object], folder: DiskStateFolder
) -> None:
    certificates = DiskCertificateFolder(folder.path)
    certificates.write(HostCertificate(42, "certificate", canary("private key"), 50052))
    before = certificates.read()

    ends(folder)

    assert before == HostCertificate(42, "certificate", canary("private key"), 50052)
    assert certificates.read() is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"mutual_tls_port": 0},
        {"mutual_tls_port": 65536},
        {"server_id": "42"},
        {"key": None},
    ],
)
def test_a_certificate_of_a_later_version_or_with_a_wrong_field_is_not_used(
    change: dict[str, Any], folder: DiskStateFolder
) -> None:
    fields = {
        "version": 1,
        "server_id": 42,
        "certificate": "certificate",
        "key": canary("private key"),
        "mutual_tls_port": 50052,
    }
    file = folder.path / "certificate.json"
    write_with_checksum(file, fields)
    unchanged = DiskCertificateFolder(folder.path).read()
    write_with_checksum(file, {**fields, **change})

    assert unchanged
    assert DiskCertificateFolder(folder.path).read() is None
