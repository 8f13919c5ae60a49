import os
from pathlib import Path

import pytest

from adapters.prometheus.multiprocess_dir import allocate_files
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

    assert supervisor._made_folder() is None
    assert "mend TMPDIR" in caplog.text
