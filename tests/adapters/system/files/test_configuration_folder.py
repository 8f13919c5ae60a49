import json
import logging
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.system.files.configuration_folder import DiskConfigurationFolder
from domain.configuration import Configuration

MANIFEST = ".manmanv2.json"
# Stands for a crash in the middle of a write: a lone surrogate cannot be encoded in UTF-8.
UNWRITABLE = "\ud800"


def document(name: str, revision: int = 1, text: str = "{}") -> Configuration:
    return Configuration(name, text, revision, datetime.now(UTC))


@pytest.fixture
def folder(tmp_path: Path) -> DiskConfigurationFolder:
    """A directory with the documents a and b of server 42 at revision 2."""
    folder = DiskConfigurationFolder(tmp_path / "config")
    folder.apply(42, [document("a", 1), document("b", 2)], ["a", "b"], 2)
    return folder


def files(folder: DiskConfigurationFolder) -> set[str]:
    return {path.name for path in folder.path.iterdir()} - {MANIFEST}


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").touch()

    with pytest.raises(NotADirectoryError, match="Not a directory"):
        DiskConfigurationFolder(tmp_path / "config").apply(42, [document("a")], ["a"], 1)


def test_a_missing_directory_is_created(tmp_path: Path) -> None:
    folder = DiskConfigurationFolder(tmp_path / "new" / "config")

    folder.apply(42, [document("a")], ["a"], 1)

    assert files(folder) == {"a.json"}


def test_a_missing_directory_has_no_revision(tmp_path: Path) -> None:
    assert DiskConfigurationFolder(tmp_path / "config").known_revision(42) == 0


def test_documents_are_written_byte_for_byte(folder: DiskConfigurationFolder) -> None:
    text = ' {"name" : "Größe",\r\n"n":1.0}\n'

    folder.apply(42, [document("a", 3, text)], ["a", "b"], 3)

    assert (folder.path / "a.json").read_bytes() == text.encode()


def test_only_the_owner_can_read_documents(folder: DiskConfigurationFolder) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}

    assert modes == {0o600}


def test_the_revision_survives_a_restart(folder: DiskConfigurationFolder) -> None:
    assert DiskConfigurationFolder(folder.path).known_revision(42) == 2


def test_the_revision_of_another_server_is_not_known(folder: DiskConfigurationFolder) -> None:
    assert folder.known_revision(43) == 0


def test_a_document_that_the_server_no_longer_has_is_removed(
    folder: DiskConfigurationFolder,
) -> None:
    folder.apply(42, [], ["b"], 3)

    assert files(folder) == {"b.json"}
    assert folder.known_revision(42) == 3


def test_only_documents_written_by_the_host_are_removed(folder: DiskConfigurationFolder) -> None:
    (folder.path / "mine.json").write_text("{}")
    (folder.path / "sub").mkdir()

    folder.apply(42, [], [], 3)

    assert files(folder) == {"mine.json", "sub"}


def test_documents_of_another_server_are_removed(folder: DiskConfigurationFolder) -> None:
    folder.apply(43, [document("b", 1, "[]")], ["b"], 1)

    assert files(folder) == {"b.json"}
    assert folder.known_revision(43) == 1


def test_a_document_that_was_deleted_by_hand_is_fetched_again(
    folder: DiskConfigurationFolder,
) -> None:
    (folder.path / "a.json").unlink()

    assert folder.known_revision(42) == 0


def test_a_reader_never_sees_a_half_written_document(
    folder: DiskConfigurationFolder,
) -> None:
    with (folder.path / "a.json").open() as reader:
        folder.apply(42, [document("a", 3, '{"new": true}')], ["a", "b"], 3)

        assert reader.read() == "{}"


def test_a_symbolic_link_is_replaced_and_not_followed(
    folder: DiskConfigurationFolder, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (folder.path / "c.json").symlink_to(elsewhere)

    folder.apply(42, [document("c", 3)], ["a", "b", "c"], 3)

    assert elsewhere.read_text() == "precious"
    assert (folder.path / "c.json").read_text() == "{}"


def test_applying_nothing_new_writes_nothing(folder: DiskConfigurationFolder) -> None:
    before = (folder.path / MANIFEST).stat()

    folder.apply(42, [], ["a", "b"], 2)

    assert (folder.path / MANIFEST).stat().st_ino == before.st_ino
    assert (folder.path / MANIFEST).stat().st_mtime_ns == before.st_mtime_ns


# Crashes


@pytest.mark.parametrize("written_before_the_crash", [0, 1, 2])
def test_after_a_crash_every_document_is_whole_and_all_are_fetched_again(
    folder: DiskConfigurationFolder, written_before_the_crash: int
) -> None:
    names = ["a", "c", "d"]
    changed = [document(name, 3, '{"new": true}') for name in names]
    crashing = list(changed)
    crashing.insert(written_before_the_crash, document("e", 3, UNWRITABLE))

    with pytest.raises(UnicodeEncodeError):
        folder.apply(42, crashing, [*names, "e"], 3)
    after_crash = DiskConfigurationFolder(folder.path)

    texts = {path.read_text() for path in folder.path.glob("[a-z]*.json")}
    assert texts <= {"{}", '{"new": true}'}
    assert after_crash.known_revision(42) == 0
    after_crash.apply(42, changed, names, 3)
    assert files(after_crash) == {"a.json", "c.json", "d.json"}
    assert after_crash.known_revision(42) == 3


def test_documents_of_a_crashed_run_are_removed_when_the_server_no_longer_has_them(
    folder: DiskConfigurationFolder,
) -> None:
    with pytest.raises(UnicodeEncodeError):
        folder.apply(42, [document("new", 3), document("e", 3, UNWRITABLE)], ["a", "new", "e"], 3)

    DiskConfigurationFolder(folder.path).apply(42, [], ["a"], 4)

    assert files(folder) == {"a.json"}


def test_the_file_of_an_unfinished_write_is_removed(folder: DiskConfigurationFolder) -> None:
    (folder.path / ".c.json.manmanv2-unfinished").write_text("{")

    folder.apply(42, [document("a", 3)], ["a", "b"], 3)

    assert files(folder) == {"a.json", "b.json"}


# Damage


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"null",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"server_id": 42, "revision": 2}',
        b'{"server_id": 42, "revision": 2, "names": "ab"}',
        b'{"server_id": 42, "revision": 2, "names": [1]}',
        b'{"server_id": 42, "revision": 2, "names": ["../../etc/passwd"]}',
        b'{"server_id": 42, "revision": null, "names": []}',
    ],
)
def test_a_damaged_manifest_causes_one_warning_and_a_fetch_of_everything(
    folder: DiskConfigurationFolder, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.path / MANIFEST).write_bytes(content)

    revisions = [folder.known_revision(42) for _ in range(3)]

    assert revisions == [0, 0, 0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_after_damage_the_directory_works_again(folder: DiskConfigurationFolder) -> None:
    (folder.path / MANIFEST).write_text("{")

    folder.apply(42, [document("b", 3)], ["b"], 3)

    assert folder.known_revision(42) == 3
    assert json.loads((folder.path / MANIFEST).read_text())["names"] == ["b"]


def test_a_file_in_place_of_the_directory_is_an_os_error_on_use(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.touch()
    folder = DiskConfigurationFolder(path)

    with pytest.raises(OSError, match=r"exists|Not a directory"):
        folder.apply(42, [document("a")], ["a"], 1)
    with pytest.raises(OSError, match="Not a directory"):
        folder.known_revision(42)


def test_a_directory_in_place_of_a_document_is_an_os_error(
    folder: DiskConfigurationFolder,
) -> None:
    (folder.path / "c.json").mkdir()

    with pytest.raises(OSError, match="directory"):
        folder.apply(42, [document("c", 3)], ["c"], 3)
