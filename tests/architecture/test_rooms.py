"""A room holds no more files than a reader can take in at a glance."""

from collections import Counter

from tests.support.repository import ROOT

RINGS = ("domain", "application", "adapters", "entrypoints")
MAX_FILES = 20
# Flat by design: a noun per file, and one adapter for each port of the store.
FLAT = {"domain", "adapters/memory", "adapters/sql"}


def test_no_room_has_too_many_files_to_take_in_at_a_glance() -> None:
    files = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for ring in RINGS
        for path in (ROOT / ring).rglob("*.py")
    )

    assert files.keys() > FLAT
    assert {room: n for room, n in files.items() if n > MAX_FILES and room not in FLAT} == {}
