import os
from pathlib import Path

import pytest

from adapters.prometheus.multiprocess_dir import reserve_room
from entrypoints.api import supervisor


def test_the_room_of_a_process_is_reserved(tmp_path: Path) -> None:
    own, others = tmp_path / f"counter_{os.getpid()}.db", tmp_path / "counter_1.db"
    for file in (own, others):
        with file.open("wb") as opened:
            opened.truncate(1 << 20)
    reserve_room(str(tmp_path))

    assert own.stat().st_blocks * 512 >= 1 << 20
    assert others.stat().st_blocks == 0


def test_without_a_folder_nothing_is_counted_and_it_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(prefix: str) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", fail)

    assert supervisor._made_folder() is None
    assert "mend TMPDIR" in caplog.text
