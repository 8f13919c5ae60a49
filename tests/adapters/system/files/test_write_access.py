import os
from pathlib import Path

import pytest

from adapters.system.files.write_access import write_problem


def test_an_existing_directory_and_one_that_can_be_created_are_writable(tmp_path: Path) -> None:
    assert write_problem(tmp_path) == ""
    assert write_problem(tmp_path / "a" / "b") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    assert write_problem(file) == "is not a directory"
    assert write_problem(file / "below") == f"is below {file}, which is not a directory"


@pytest.mark.parametrize("below", ["", "below"])
def test_the_problem_with_another_users_directory_names_this_user(
    below: str, short_folder: Path
) -> None:
    short_folder.chmod(0o555)
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        problem, uid = write_problem(short_folder / below), os.geteuid()
    finally:
        if privileged:
            os.seteuid(0)
        short_folder.chmod(0o755)

    assert problem == f"cannot be written to by this user (uid {uid})"
