"""No writer of ours replaces, renames, removes or changes what is not a regular file."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.grpc.client.operator_client import OperatorClient
from adapters.sql.migrations import upgrade
from adapters.system.files.atomic_file import replace_atomically, write_atomically
from adapters.system.files.authority_folder import DiskAuthorityFolder
from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.system.files.configuration_folder import DiskConfigurationFolder
from adapters.system.files.regular_file import (
    NotARegularFile,
    create_or_open_stream,
    remove_file,
    rename_file,
)
from adapters.system.files.state_folder import DiskStateFolder
from application.ports.host.authority_folder import KnownAuthority
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.state_folder import QuarantineReason, SavedState
from application.ports.store.store import StoreUnavailable
from domain.configuration import Configuration
from domain.machine_evidence import Evidence
from domain.operator_key import OperatorKey
from domain.role import Role
from entrypoints.api.database import prepare_database
from entrypoints.cli.commands import manmanv2
from entrypoints.failures import ConfigurationError
from tests.support.builders import NOW
from tests.support.repository import ROOT

Make = Callable[[Path], object]
Write = Callable[[Path], object]


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_device(path: Path) -> None:
    """A /dev/null of the test's own. Only root may create one: others link to the machine's."""
    if os.geteuid() == 0:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    else:
        path.symlink_to("/dev/null")


def linked(make: Make) -> Make:
    def make_link(path: Path) -> None:
        target = path.with_name(f"target-of-{path.name}")
        make(target)
        path.symlink_to(target)

    return make_link


SPECIAL: dict[str, Make] = {
    "directory": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "character device": make_device,
    "link to a directory": linked(Path.mkdir),
    "link to a pipe": linked(os.mkfifo),
    "link to a socket": linked(make_socket),
    "link to a character device": linked(make_device),
}
WRITABLE = ("pipe", "character device", "link to a pipe", "link to a character device")


def named(kind: str) -> str:
    """As in a message: the kind of what a link leads to, with its article."""
    return f"a {kind.removeprefix('link to a ')}"


def as_found(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """The inode, mode, device and link target of everything in a folder."""
    return {
        str(path): (
            *(path.lstat().st_ino, path.lstat().st_mode, path.lstat().st_rdev),
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in folder.rglob("*")
    }


STATE = SavedState(1, "web", "", False, 1, Evidence("a" * 32, "b" * 32, "", "c" * 32, "1" * 32), "")


def state_folder(path: Path) -> DiskStateFolder:
    folder = DiskStateFolder(path.parent)
    folder.lock()
    return folder


def rename_away(path: Path) -> None:
    rename_file(path, path.with_name("elsewhere"))


def rename_onto(path: Path) -> None:
    source = path.with_name("source")
    source.touch()
    try:
        rename_file(source, path)
    finally:
        source.unlink(missing_ok=True)


def quarantine_onto(path: Path) -> None:
    folder = state_folder(path)
    folder.write(STATE)
    try:
        folder.quarantine(QuarantineReason.DAMAGED)
    finally:
        (path.parent / "state.json").unlink(missing_ok=True)


def remove_document(path: Path) -> None:
    """The document of the manifest is a regular file at first, and then what is at the path."""
    folder = DiskConfigurationFolder(path.parent)
    aside = path.rename(path.with_name("aside"))
    folder.apply(1, [Configuration("a", "{}", 1, NOW)], ["a"], 1)
    path.unlink()
    aside.rename(path)
    try:
        folder.apply(1, [], [], 2)
    finally:
        (path.parent / ".manmanv2.json").unlink()


def write_document(path: Path) -> None:
    try:
        DiskConfigurationFolder(path.parent).apply(1, [Configuration("a", "{}", 1, NOW)], ["a"], 1)
    finally:
        (path.parent / ".manmanv2.json").unlink()


def write_manifest(path: Path) -> None:
    DiskConfigurationFolder(path.parent).apply(1, [Configuration("a", "{}", 1, NOW)], ["a"], 1)


AUTHORITY = KnownAuthority(authority_digest="a", certificates="b")

# Every writer of ours, by the file that it writes, renames or removes.
WRITERS: dict[str, tuple[str, Write]] = {
    "write_atomically": ("file", lambda path: write_atomically(path, "new")),
    "write_atomically, unfinished": (
        ".file.manmanv2-unfinished",
        lambda path: write_atomically(path.with_name("file"), "new"),
    ),
    "replace_atomically": ("file", lambda path: replace_atomically(path, "new", 0o600)),
    "rename_file, from": ("file", rename_away),
    "rename_file, to": ("file", rename_onto),
    "remove_file": ("file", remove_file),
    "STATE_DIR, state": ("state.json", lambda path: state_folder(path).write(STATE)),
    "STATE_DIR, state read": ("state.json", lambda path: state_folder(path).read()),
    "STATE_DIR, state forgotten": ("state.json", lambda path: state_folder(path).forget()),
    "STATE_DIR, state set aside": (
        "state.json",
        lambda path: state_folder(path).quarantine(QuarantineReason.DAMAGED),
    ),
    "STATE_DIR, damaged state": ("state.json.damaged", quarantine_onto),
    "STATE_DIR, lock": (".lock", state_folder),
    "STATE_DIR, certificate": (
        "certificate.json",
        lambda path: DiskCertificateFolder(path.parent).write(HostCertificate(1, "a", "b", 1)),
    ),
    "STATE_DIR, certificate removed": (
        "certificate.json",
        lambda path: state_folder(path).forget(),
    ),
    "STATE_DIR, authority": (
        "authority.json",
        lambda path: DiskAuthorityFolder(path.parent).write(AUTHORITY),
    ),
    "CONFIG_DIR, document": ("a.json", write_document),
    "CONFIG_DIR, document removed": ("a.json", remove_document),
    "CONFIG_DIR, manifest": (".manmanv2.json", write_manifest),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_every_writer_refuses_what_is_not_a_regular_file_and_leaves_it_unchanged(
    kind: str, short_folder: Path
) -> None:
    for number, (writer, (name, write)) in enumerate(WRITERS.items()):
        path = short_folder / str(number) / name
        path.parent.mkdir()
        SPECIAL[kind](path)
        before = as_found(path.parent)
        with pytest.raises(NotARegularFile) as refusal:
            write(path)

        after = as_found(path.parent)
        if name != ".lock":
            after.pop(str(path.with_name(".lock")), None)
        assert after == before, writer
        assert refusal.value.strerror == f"{path} is {named(kind)}, not a regular file", writer


def test_every_writer_replaces_a_link_to_a_regular_file_and_leaves_its_target(
    tmp_path: Path,
) -> None:
    for number, (writer, (name, write)) in enumerate(WRITERS.items()):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        target = path.with_name("target")
        target.write_text("precious")
        path.symlink_to(target)
        before = target.stat().st_mode
        # The lock is never opened through a link.
        with pytest.raises(OSError, match="symbolic links") if name == ".lock" else nullcontext():
            write(path)

        assert (target.read_text(), target.stat().st_mode) == ("precious", before), writer


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_atomically(path, "new"),
        lambda path: replace_atomically(path, "new", 0o600),
    ],
    ids=["write_atomically", "replace_atomically"],
)
@pytest.mark.parametrize(
    "make",
    [lambda path: None, lambda path: path.symlink_to("nowhere"), lambda path: path.touch(0o600)],
    ids=["missing", "dangling link", "regular file"],
)
def test_a_file_is_written_if_the_path_is_free_or_has_a_regular_file(
    make: Make, write: Write, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    make(path)
    write(path)

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


# Options that name a file


def write_certificate(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    row = OperatorKey("oc-aaaaaaaaaa", "", "ann", Role.ADMIN, NOW, "bob", NOW)
    monkeypatch.setattr(
        OperatorClient, "create_operator_certificate", lambda *_: (row, "the certificate\n")
    )
    arguments = ["operators", "create", "ann", "--role", "admin", "--certificate", str(path)]
    ended = CliRunner().invoke(manmanv2, arguments)
    return ended.exit_code, ended.stderr


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL if kind not in WRITABLE])
def test_the_option_certificate_refuses_what_cannot_be_written_to(
    kind: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short_folder / "ann.pem"
    SPECIAL[kind](path)
    before = as_found(short_folder)
    code, message = write_certificate(path, monkeypatch)

    problem = f"cannot write {path} ({path} is {named(kind)}, not a regular file)"
    assert (code, as_found(short_folder)) == (73, before)
    assert message == f"manmanv2: --certificate: {problem}\n"


@pytest.mark.parametrize("kind", WRITABLE)
def test_the_option_certificate_writes_into_a_device_or_a_pipe(
    kind: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = short_folder / "ann.pem"
    SPECIAL[kind](path)
    before = as_found(short_folder)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        code, _ = write_certificate(path, monkeypatch)
        content = os.read(reader, 4096).decode()
    finally:
        os.close(reader)

    assert (code, as_found(short_folder)) == (0, before)
    if "pipe" in kind:
        assert content.startswith("the certificate\n-----BEGIN PRIVATE KEY-----\n")


def test_standard_output_is_written_to_at_its_current_position(tmp_path: Path) -> None:
    code = """
import os
from pathlib import Path
from adapters.system.files.regular_file import create_or_open_stream
print("before", flush=True)
descriptor, is_created = create_or_open_stream(Path("/dev/stdout"), 0o600)
os.write(descriptor, b"middle\\n")
os.close(descriptor)
print("after", is_created)
"""
    with (tmp_path / "output").open("wb") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, check=True, cwd=ROOT)

    assert (tmp_path / "output").read_text() == "before\nmiddle\nafter False\n"


def test_an_option_never_overwrites_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        create_or_open_stream(path, 0o600)

    assert path.read_text() == "precious"


def test_ca_issue_refuses_what_is_not_a_regular_file(short_folder: Path) -> None:
    ca = ["ca", "init", "--folder", str(short_folder)]
    assert CliRunner().invoke(manmanv2, ca).exit_code == 0
    for number, (kind, make) in enumerate(SPECIAL.items()):
        for name in ("tls.crt", "tls.key"):
            folder = short_folder / f"{number}-{name}"
            folder.mkdir()
            for file in ("ca.crt", "ca.key"):
                shutil.copy(short_folder / file, folder)
            make(folder / name)
            before = as_found(folder)
            ended = CliRunner().invoke(manmanv2, ["ca", "issue", "api", "--folder", str(folder)])

            problem = f"cannot write to {folder} ({folder / name} is {named(kind)}"
            assert (ended.exit_code, as_found(folder)) == (73, before), kind
            assert ended.stderr == f"manmanv2: --folder: {problem}, not a regular file)\n"


@pytest.mark.parametrize("kind", SPECIAL)
def test_ca_init_overwrites_nothing(kind: str, short_folder: Path) -> None:
    for name in ("ca.crt", "ca.key"):
        folder = short_folder / f"of-{name}"
        folder.mkdir()
        SPECIAL[kind](folder / name)
        before = as_found(folder)
        ended = CliRunner().invoke(manmanv2, ["ca", "init", "--folder", str(folder)])

        assert (ended.exit_code, as_found(folder)) == (73, before)


@pytest.mark.parametrize("kind", SPECIAL)
def test_database_url_refuses_what_is_not_a_regular_file(kind: str, short_folder: Path) -> None:
    path = short_folder / "fleet.sqlite3"
    SPECIAL[kind](path)
    before = as_found(short_folder)
    with pytest.raises(ConfigurationError) as refusal:
        prepare_database(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable):
        upgrade(f"sqlite:///{path}")

    assert str(refusal.value) == f"DATABASE_URL: {path} is {named(kind)}: name a regular file."
    assert as_found(short_folder) == before


def test_the_state_in_memory_is_unchanged_by_a_refusal(short_folder: Path) -> None:
    """A host that cannot write its state once writes it again when it can."""
    folder = state_folder(short_folder / "state.json")
    (short_folder / "state.json").mkdir()
    with pytest.raises(NotARegularFile):
        folder.write(STATE)
    (short_folder / "state.json").rmdir()
    folder.write(replace(STATE, epoch=2))

    assert folder.read() == replace(STATE, epoch=2)
