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


# The content of a file


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
def test_a_key_is_a_line_without_the_blanks_and_quotes_around_it(
    file: Path, content: str, keys: list[str]
) -> None:
    file.write_text(content, newline="")

    assert list(read_keys(file)) == keys


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "contains no key: write one into it"),
        ("# none\n\n'' \n", "contains no key: write one into it"),
        ("one\ntw\0o", "contains an unprintable character in line 2: remove it"),
        ("one\u2028two", "contains an unprintable character in line 1: remove it"),
        (
            "x" * (MAX_KEY_LENGTH + 1),
            "contains more than 4096 characters in line 1: write a shorter key",
        ),
        (
            "\n".join(map(str, range(MAX_KEYS + 1))),
            "contains more than 100 keys: remove those that are not used",
        ),
        ("#" * (1 << 20) + "\n", "is larger than 1 MB: check that it is the right file"),
    ],
)
def test_a_file_without_usable_keys_is_refused_with_the_reason(
    file: Path, content: str, message: str
) -> None:
    file.write_text(content)

    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_keys(file)


def test_the_maximum_number_and_length_of_keys_is_read(file: Path) -> None:
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
def test_no_file_content_yields_an_empty_key_or_no_key(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key"
        file.write_bytes(content)
        with suppress(ValueError):
            keys = read_keys(file)

            assert keys
            assert all(key and key.isprintable() and key == key.strip(" '\"") for key in keys)


# Changes of a file in use


@given(contents=st.lists(CONTENTS | st.none(), max_size=5))
def test_the_last_good_keys_survive_every_change_of_the_file(contents: list[bytes | None]) -> None:
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


def test_a_change_is_noticed_within_a_second_and_logged_without_the_keys(
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

    assert [list(each) for each in (first, soon, later)] == [[OLD], [OLD], [NEW, OLD]]
    assert list(keys()) == [NEW]
    assert caplog.messages == [
        "REGISTRATION_KEY_FILE has changed: 2 keys are now in use.",
        "REGISTRATION_KEY_FILE has changed: 1 key is now in use.",
    ]


def test_the_first_call_reads_a_change_since_the_settings_were_read(
    file: Path,
) -> None:
    keys = opened(file, seconds=1)
    file.write_text(NEW)

    assert list(keys()) == [NEW]


def test_a_kubernetes_secret_that_is_swapped_as_a_whole_is_noticed(tmp_path: Path) -> None:
    for version, key in (("v1", OLD), ("v2", NEW)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "registration-key").write_text(key)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "registration-key").symlink_to("..data/registration-key")
    keys = opened(tmp_path / "registration-key")
    before = keys()
    (tmp_path / "..data_tmp").symlink_to("v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    assert [list(each) for each in (before, keys())] == [[OLD], [NEW]]


def test_a_change_that_keeps_the_size_and_the_time_is_noticed(file: Path) -> None:
    keys = opened(file)
    before = file.stat()
    file.write_text(f"{NEW}\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert file.stat().st_size == before.st_size
    assert list(keys()) == [NEW]


def test_an_unusable_file_is_logged_once_and_so_is_its_recovery(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    keys = opened(file)

    def becomes_a_directory() -> None:
        file.unlink()
        file.mkdir()

    failures: list[Callable[[], object]] = [
        file.unlink,
        lambda: file.write_text(""),
        lambda: file.write_bytes(b"\xff"),
        lambda: file.write_text(f"{NEW}\0"),
        becomes_a_directory,
    ]
    for fail in failures:
        fail()
        keys_in_use = [list(keys()) for _ in range(3)]

        assert keys_in_use == [[OLD]] * 3
    file.rmdir()
    file.write_text(OLD)
    keys()

    assert caplog.messages == [
        f"REGISTRATION_KEY_FILE {problem}. The previous keys stay in use until then."
        for problem in (
            "cannot be read (No such file or directory): check the file and its permissions",
            "contains no key: write one into it",
            "is not text in UTF-8: write the keys into it again",
            "contains an unprintable character in line 1: remove it",
            "cannot be read (Is a directory): check the file and its permissions",
        )
    ] + ["REGISTRATION_KEY_FILE can be used again."]


def test_keys_from_a_pipe_stay_and_the_pipe_is_not_read_again(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    assert list(KeyFile("REGISTRATION_KEY_FILE", pipe, (OLD,))()) == [OLD]


def test_the_repr_contains_no_key(file: Path) -> None:
    assert OLD not in repr(opened(file))
