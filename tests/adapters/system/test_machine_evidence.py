import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.system.machine_evidence import FileMachineEvidence
from domain.digest import digest
from domain.machine_evidence import Evidence, check_evidence
from tests.support.machines import FakeMachine

MACHINE_ID = "etc/machine-id"
OLDER_MACHINE_ID = "var/lib/dbus/machine-id"
HARDWARE_ID = "sys/class/dmi/id/product_uuid"
BOOT_ID = "proc/sys/kernel/random/boot_id"
FILES = (MACHINE_ID, HARDWARE_ID, BOOT_ID)
OTHER = str(uuid.UUID(int=2**127 + 12345678901234567890))


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine.fresh(tmp_path / "machine")


def read(root: Path, credentials: Path | None = None, *, in_container: bool = False) -> Evidence:
    evidence = FileMachineEvidence(root, credentials, in_container).read()
    check_evidence(evidence)
    return evidence


def write(root: Path, path: str, content: str | bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def test_the_evidence_is_digests_of_the_ids_of_disk_board_and_kernel(machine: FakeMachine) -> None:
    evidence = read(machine.root)

    for digested, path in (
        (evidence.machine_id, MACHINE_ID),
        (evidence.hardware_id, HARDWARE_ID),
        (evidence.boot_id, BOOT_ID),
    ):
        identifier = (machine.root / path).read_text().strip()
        assert len(digested) == 32
        assert digested not in identifier
    assert (evidence.engine_id, evidence.instance_id) == ("", "")


def test_a_reboot_changes_the_boot_id_only(machine: FakeMachine) -> None:
    before = read(machine.root)
    machine.reboot()
    after = read(machine.root)

    assert (after.machine_id, after.hardware_id) == (before.machine_id, before.hardware_id)
    assert after.boot_id != before.boot_id


def test_the_same_identifier_has_another_digest_in_another_file(machine: FakeMachine) -> None:
    for path in FILES:
        write(machine.root, path, OTHER)
    evidence = read(machine.root)

    assert len({evidence.machine_id, evidence.hardware_id, evidence.boot_id}) == 3


def test_the_case_of_a_hardware_id_does_not_matter(machine: FakeMachine) -> None:
    before = read(machine.root)
    upper_case = (machine.root / HARDWARE_ID).read_text().upper()
    write(machine.root, HARDWARE_ID, upper_case)

    assert read(machine.root) == before


def test_the_older_file_of_the_machine_id_is_the_second_choice(machine: FakeMachine) -> None:
    write(machine.root, OLDER_MACHINE_ID, OTHER)
    first = read(machine.root).machine_id
    write(machine.root, MACHINE_ID, "uninitialized\n")
    second = read(machine.root).machine_id

    assert first != second
    assert second == digest("machine-id", OTHER.replace("-", ""))


def test_the_machine_id_of_a_container_is_not_used(machine: FakeMachine) -> None:
    outside = read(machine.root)
    inside = read(machine.root, in_container=True)

    assert inside.machine_id == ""
    assert (inside.hardware_id, inside.boot_id) == (outside.hardware_id, outside.boot_id)


# Credentials of the service manager


def test_a_unit_gets_the_hardware_id_as_a_credential(machine: FakeMachine, tmp_path: Path) -> None:
    readable = read(machine.root)
    shutil.move(machine.root / HARDWARE_ID, tmp_path / "hardware-id")

    assert read(machine.root).hardware_id == ""
    assert read(machine.root, tmp_path) == readable


@pytest.mark.parametrize("content", ["none", "", "To be filled by O.E.M.\n"])
def test_a_credential_that_is_no_identifier_is_not_used(
    machine: FakeMachine, tmp_path: Path, content: str
) -> None:
    (machine.root / HARDWARE_ID).unlink()
    (tmp_path / "hardware-id").write_text(content)

    assert read(machine.root, tmp_path).hardware_id == ""


# Unreadable files
def _link_to_itself(file: Path) -> None:
    file.symlink_to(file.name)


def _link_to_nothing(file: Path) -> None:
    file.symlink_to("nothing")


def _huge(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(2**40)


def _id_and_more(file: Path) -> None:
    file.write_text(f"{OTHER}{' ' * 64}")


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize(
    "make",
    [
        Path.touch,
        Path.mkdir,
        os.mkfifo,
        _link_to_itself,
        _link_to_nothing,
        _huge,
        _id_and_more,
        lambda file: file.write_bytes(b"\xff" * 32),
        lambda file: None,
    ],
)
def test_anything_but_an_identifier_is_no_evidence(
    machine: FakeMachine, path: str, make: Callable[[Path], None]
) -> None:
    file = machine.root / path
    before = read(machine.root)
    file.unlink()
    make(file)
    after = read(machine.root)

    lost = {MACHINE_ID: "machine_id", HARDWARE_ID: "hardware_id", BOOT_ID: "boot_id"}[path]
    assert after == replace(before, **{lost: ""})


def test_a_silent_pipe_is_not_waited_for(machine: FakeMachine) -> None:
    file = machine.root / HARDWARE_ID
    file.unlink()
    os.mkfifo(file)
    writer = os.open(file, os.O_RDWR)
    evidence = read(machine.root)
    os.close(writer)

    assert evidence.hardware_id == ""


def test_a_file_without_read_permission_is_no_evidence(short_folder: Path) -> None:
    machine = FakeMachine.fresh(short_folder / "machine")
    (machine.root / HARDWARE_ID).chmod(0)
    with no_privileges():
        evidence = read(machine.root)

    assert evidence.hardware_id == ""
    assert evidence.machine_id != ""


@contextmanager
def no_privileges() -> Iterator[None]:
    """Root has every permission, so root runs these lines as nobody."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def test_a_missing_root_yields_no_evidence(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == Evidence()
    assert read(tmp_path / "no\0where", tmp_path / "no\0where") == Evidence()


def test_a_link_out_of_a_root_that_is_mounted_elsewhere_is_not_followed(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """On Debian the older file is a link to /etc/machine-id, here that of the container."""
    outside = tmp_path / "etc-machine-id"
    outside.write_text(OTHER)
    (machine.root / MACHINE_ID).unlink()
    (machine.root / OLDER_MACHINE_ID).parent.mkdir(parents=True)
    (machine.root / OLDER_MACHINE_ID).symlink_to(outside)

    assert read(machine.root).machine_id == ""


def test_a_link_within_the_root_is_followed(machine: FakeMachine) -> None:
    before = read(machine.root)
    place = machine.root / "sys/class/dmi/id"
    place.rename(machine.root / "devices")
    place.symlink_to("../../../devices")

    assert read(machine.root) == before


@given(st.binary(max_size=100) | st.text(max_size=40).map(str.encode) | st.uuids().map(str))
def test_all_files_accept_the_same_identifiers(content: bytes | str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in FILES:
            write(root, path, content)
        evidence = read(root)

        assert bool(evidence.machine_id) == bool(evidence.hardware_id) == bool(evidence.boot_id)


def test_the_evidence_of_this_machine_can_be_read() -> None:
    assert read(Path("/")).boot_id != ""
