import os
from pathlib import Path

import pytest

from adapters.prometheus.multiprocess_dir import MultiprocessDir, allocate_files
from entrypoints.api import supervisor


def test_a_process_allocates_the_disk_space_of_its_own_files_only(tmp_path: Path) -> None:
    own, others = tmp_path / f"counter_{os.getpid()}.db", tmp_path / "counter_1.db"
    for file in (own, others):
        with file.open("wb") as opened:
            opened.truncate(1 << 20)
    allocate_files(str(tmp_path))

    assert own.stat().st_blocks * 512 >= 1 << 20
    assert others.stat().st_blocks == 0


def test_a_supervisor_without_a_temporary_directory_warns_and_serves_no_metrics(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(prefix: str) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", fail)

    assert supervisor._make_metrics_dir() is None
    assert "fix TMPDIR" in caplog.text


def test_only_directories_that_no_process_uses_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    in_use = MultiprocessDir()
    (tmp_path / "manmanv2-metrics-stale").mkdir()
    (tmp_path / "manmanv2-metrics-link").symlink_to("manmanv2-metrics-stale")
    # Opening a pipe to read from it would wait for its writer.
    os.mkfifo(tmp_path / "manmanv2-metrics-pipe")
    other = MultiprocessDir()

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        *(Path(in_use.path).name, Path(other.path).name),
        *("manmanv2-metrics-link", "manmanv2-metrics-pipe"),
    }
    in_use.remove()
    other.remove()
