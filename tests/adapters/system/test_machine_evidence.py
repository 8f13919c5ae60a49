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


def look(root: Path, credentials: Path | None = None, *, in_container: bool = False) -> Evidence:
    evidence = FileMachineEvidence(root, credentials, in_container).read()
    check_evidence(evidence)
    return evidence


def write(root: Path, path: str, content: str | bytes) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_machine_is_known_by_its_disk_its_board_and_its_kernel(machine: FakeMachine) -> None:
    found = look(machine.root)

    for kind, path in (
        (found.machine_id, MACHINE_ID),
        (found.hardware_id, HARDWARE_ID),
        (found.boot_id, BOOT_ID),
    ):
        identifier = (machine.root / path).read_text().strip()
        assert len(kind) == 32
        assert kind not in identifier
    assert (found.engine_id, found.instance_id) == ("", "")


def test_a_reboot_changes_the_kernel_only(machine: FakeMachine) -> None:
    before = look(machine.root)
    machine.reboot()
    after = look(machine.root)

    assert (after.machine_id, after.hardware_id) == (before.machine_id, before.hardware_id)
    assert after.boot_id != before.boot_id


def test_the_same_identifier_is_another_digest_in_another_place(machine: FakeMachine) -> None:
    for path in FILES:
        write(machine.root, path, OTHER)
    found = look(machine.root)

    assert len({found.machine_id, found.hardware_id, found.boot_id}) == 3


def test_a_hardware_id_is_the_same_in_capitals(machine: FakeMachine) -> None:
    before = look(machine.root)
    shown = (machine.root / HARDWARE_ID).read_text().upper()
    write(machine.root, HARDWARE_ID, shown)

    assert look(machine.root) == before


def test_the_older_place_of_the_machine_id_is_the_second_choice(machine: FakeMachine) -> None:
    write(machine.root, OLDER_MACHINE_ID, OTHER)
    first = look(machine.root).machine_id
    write(machine.root, MACHINE_ID, "uninitialized\n")
    second = look(machine.root).machine_id

    assert first != second
    assert second == digest("machine-id", OTHER.replace("-", ""))


def test_the_machine_id_of_a_container_is_not_the_machines(machine: FakeMachine) -> None:
    outside = look(machine.root)
    inside = look(machine.root, in_container=True)

    assert inside.machine_id == ""
    assert (inside.hardware_id, inside.boot_id) == (outside.hardware_id, outside.boot_id)


# What the service manager hands over


def test_a_unit_gets_the_hardware_id_as_a_credential(machine: FakeMachine, tmp_path: Path) -> None:
    readable = look(machine.root)
    shutil.move(machine.root / HARDWARE_ID, tmp_path / "hardware-id")

    assert look(machine.root).hardware_id == ""
    assert look(machine.root, tmp_path) == readable


@pytest.mark.parametrize("content", ["none", "", "To be filled by O.E.M.\n"])
def test_a_credential_that_says_nothing_is_none(
    machine: FakeMachine, tmp_path: Path, content: str
) -> None:
    (machine.root / HARDWARE_ID).unlink()
    (tmp_path / "hardware-id").write_text(content)

    assert look(machine.root, tmp_path).hardware_id == ""


# What cannot be read


def _folder(file: Path) -> None:
    file.mkdir()


def _fifo(file: Path) -> None:
    os.mkfifo(file)


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
        _folder,
        _fifo,
        _link_to_itself,
        _link_to_nothing,
        _huge,
        _id_and_more,
        lambda file: file.write_bytes(b"\xff" * 32),
        lambda file: None,
    ],
)
def test_whatever_is_there_instead_is_no_evidence(
    machine: FakeMachine, path: str, make: Callable[[Path], None]
) -> None:
    file = machine.root / path
    before = look(machine.root)
    file.unlink()
    make(file)
    after = look(machine.root)

    lost = {MACHINE_ID: "machine_id", HARDWARE_ID: "hardware_id", BOOT_ID: "boot_id"}[path]
    assert after == replace(before, **{lost: ""})


def test_a_fifo_that_says_nothing_is_waited_for_by_nobody(machine: FakeMachine) -> None:
    file = machine.root / HARDWARE_ID
    file.unlink()
    os.mkfifo(file)
    writer = os.open(file, os.O_RDWR)
    found = look(machine.root)
    os.close(writer)

    assert found.hardware_id == ""


def test_a_file_that_may_not_be_read_is_no_evidence() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Every user may enter it, and read all but this.
        folder.chmod(0o755)
        machine = FakeMachine.fresh(folder / "machine")
        (machine.root / HARDWARE_ID).chmod(0)
        with no_privileges():
            found = look(machine.root)

    assert found.hardware_id == ""
    assert found.machine_id != ""


@contextmanager
def no_privileges() -> Iterator[None]:
    """Root may do everything, so these lines run as nobody then."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def test_a_machine_that_is_not_there_has_no_evidence(tmp_path: Path) -> None:
    assert look(tmp_path / "nowhere") == Evidence()
    assert look(tmp_path / "no\0where", tmp_path / "no\0where") == Evidence()


def test_a_link_out_of_a_root_that_is_mounted_elsewhere_is_not_followed(
    machine: FakeMachine, tmp_path: Path
) -> None:
    """Debian's older place is a link to /etc/machine-id: of the container, not of the machine."""
    outside = tmp_path / "etc-machine-id"
    outside.write_text(OTHER)
    (machine.root / MACHINE_ID).unlink()
    (machine.root / OLDER_MACHINE_ID).parent.mkdir(parents=True)
    (machine.root / OLDER_MACHINE_ID).symlink_to(outside)

    assert look(machine.root).machine_id == ""


def test_a_link_within_the_root_is_followed(machine: FakeMachine) -> None:
    before = look(machine.root)
    place = machine.root / "sys/class/dmi/id"
    place.rename(machine.root / "devices")
    place.symlink_to("../../../devices")

    assert look(machine.root) == before


@given(st.binary(max_size=100) | st.text(max_size=40).map(str.encode) | st.uuids().map(str))
def test_whatever_files_hold_it_is_evidence_or_nothing(content: bytes | str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in FILES:
            write(root, path, content)
        found = look(root)

        assert bool(found.machine_id) == bool(found.hardware_id) == bool(found.boot_id)


def test_this_machine_can_be_looked_at() -> None:
    assert look(Path("/")).boot_id != ""
