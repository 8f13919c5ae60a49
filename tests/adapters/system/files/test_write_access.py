import os
from pathlib import Path

import pytest

from adapters.system.files.write_access import why_not_writable


def test_a_folder_is_writable_and_so_is_one_that_can_be_made(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path) == ""
    assert why_not_writable(tmp_path / "a" / "b") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert why_not_writable(file) == "is no folder"
    assert why_not_writable(file / "below") == f"lies below {file}, a file"


@pytest.mark.parametrize("below", ["", "below"])
def test_a_folder_of_another_user_is_told_with_who_this_user_is(
    below: str, short_folder: Path
) -> None:
    short_folder.chmod(0o555)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        said, uid = why_not_writable(short_folder / below), os.geteuid()
    finally:
        if privileged:
            os.seteuid(0)
        short_folder.chmod(0o755)

    assert said == f"cannot be written to by this user (uid {uid})"
