import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.system.files.key_file import MAX_KEY_LENGTH, MAX_KEYS, KeyFile, read_keys
from tests.support.canary_secrets import canary

OLD, NEW = canary("old key"), canary("new key")


@dataclass
class FakeTime:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{OLD}\n")
    return file


def opened(file: Path, seconds: float = 0, monotonic: Callable[[], float] = monotonic) -> KeyFile:
    return KeyFile("REGISTRATION_KEY_FILE", file, read_keys(file), seconds, monotonic)


# What a file holds


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ("one", ["one"]),
        ("one\ntwo\n", ["one", "two"]),
        ("\n one\t\r\n\r\n'two'\n\"three\"", ["one", "two", "three"]),
        ("# of 2025\none\n # of 2026\ntwo", ["one", "two"]),
        ("one two # three", ["one two # three"]),
        ("'#one'", ["#one"]),
        ("one\ntwo\none\n", ["one", "two"]),
        ('one\n""\n', ["one"]),
        ("ключ\n", ["ключ"]),
    ],
)
def test_a_key_is_a_line_without_what_is_wrapped_around_it(
    file: Path, content: str, keys: list[str]
) -> None:
    file.write_text(content, newline="")

    assert list(read_keys(file)) == keys


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "holds no key: write one into it"),
        ("# none\n\n'' \n", "holds no key: write one into it"),
        ("one\ntw\0o", "holds a character that cannot be printed in line 2: mend it"),
        ("one\u2028two", "holds a character that cannot be printed in line 1: mend it"),
        ("x" * (MAX_KEY_LENGTH + 1), "holds more than 4096 characters in line 1: mend it"),
        (
            "\n".join(map(str, range(MAX_KEYS + 1))),
            "holds more than 100 keys: take out those that are not used",
        ),
        ("#" * (1 << 20) + "\n", "is larger than 1 MB: is it the right one?"),
    ],
)
def test_what_cannot_be_keys_is_told_in_words(file: Path, content: str, why: str) -> None:
    file.write_text(content)

    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        read_keys(file)


def test_as_many_and_as_long_keys_as_may_be_are_read(file: Path) -> None:
    keys = [f"{number:0{MAX_KEY_LENGTH}}" for number in range(MAX_KEYS)]
    file.write_text("\n".join(keys))

    assert list(read_keys(file)) == keys


CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from(["one", "two", "#", "'", '"', " ", "\t", "\r", "", "é"])).map(
        lambda parts: "\n".join(parts).encode()
    ),
)


@given(content=CONTENTS)
@example(content=b"\xff")
def test_whatever_is_in_a_file_nobody_joins_without_a_key(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key"
        file.write_bytes(content)
        with suppress(ValueError):
            keys = read_keys(file)

            assert keys
            assert all(key and key.isprintable() and key == key.strip(" '\"") for key in keys)


# What becomes of it


@given(contents=st.lists(CONTENTS | st.none(), max_size=5))
def test_whatever_becomes_of_a_file_the_last_good_keys_stay(contents: list[bytes | None]) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key"
        file.write_text(OLD)
        keys = opened(file)
        good = [OLD]
        for content in contents:
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_bytes(content)
                with suppress(ValueError):
                    good = list(read_keys(file))

            assert list(keys()) == good


def test_a_change_is_noticed_within_a_second_and_told_without_a_key(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    time = FakeTime()
    keys = opened(file, 1, time)
    first = keys()
    file.write_text(f"{NEW}\n{OLD}\n")
    soon = keys()
    time.seconds = 1
    later = keys()
    file.write_text(f"# The old one is gone.\n{NEW}\n")
    time.seconds = 2
    keys()
    time.seconds = 3

    assert [list(found) for found in (first, soon, later)] == [[OLD], [OLD], [NEW, OLD]]
    assert list(keys()) == [NEW]
    assert caplog.messages == [
        "REGISTRATION_KEY_FILE has changed: 2 keys are in force.",
        "REGISTRATION_KEY_FILE has changed: 1 key is in force.",
    ]


def test_a_process_that_starts_later_than_the_settings_were_read_takes_what_is_there_now(
    file: Path,
) -> None:
    keys = opened(file, seconds=1)
    file.write_text(NEW)

    assert list(keys()) == [NEW]


def test_a_secret_of_kubernetes_is_swapped_as_a_whole(tmp_path: Path) -> None:
    for version, key in (("v1", OLD), ("v2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "registration-key").write_text(key)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "registration-key").symlink_to("..data/registration-key")
    keys = opened(tmp_path / "registration-key")
    before = keys()
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    assert [list(found) for found in (before, keys())] == [[OLD], [NEW]]


def test_a_change_that_leaves_size_and_time_as_they_were_is_noticed(file: Path) -> None:
    keys = opened(file)
    as_before = file.stat()
    file.write_text(f"{NEW}\n")
    os.utime(file, ns=(as_before.st_atime_ns, as_before.st_mtime_ns))

    assert file.stat().st_size == as_before.st_size
    assert list(keys()) == [NEW]


def test_a_file_that_cannot_be_used_is_told_once_and_so_is_its_return(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    keys = opened(file)

    def becomes_a_folder() -> None:
        file.unlink()
        file.mkdir()

    troubles: list[Callable[[], object]] = [
        file.unlink,
        lambda: file.write_text(""),
        lambda: file.write_bytes(b"\xff"),
        lambda: file.write_text(f"{NEW}\0"),
        becomes_a_folder,
    ]
    for befalls in troubles:
        befalls()
        held = [list(keys()) for _ in range(3)]

        assert held == [[OLD]] * 3
    file.rmdir()
    file.write_text(OLD)
    keys()

    stays = "Until then the keys that it held are in force."
    assert caplog.messages == [
        f"REGISTRATION_KEY_FILE {why}. {stays}"
        for why in (
            "cannot be read (No such file or directory): mend it or its permissions",
            "holds no key: write one into it",
            "is no text: write the keys into it anew",
            "holds a character that cannot be printed in line 1: mend it",
            "cannot be read (Is a directory): mend it or its permissions",
        )
    ] + ["REGISTRATION_KEY_FILE can be used again."]


def test_what_came_through_a_pipe_stays_and_nobody_waits_for_more(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert list(KeyFile("REGISTRATION_KEY_FILE", pipe, (OLD,))()) == [OLD]


def test_no_key_is_shown_in_print(file: Path) -> None:
    assert OLD not in repr(opened(file))
