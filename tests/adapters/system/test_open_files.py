import subprocess
import sys

import pytest

ASK = """
import resource, sys
from adapters.system.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(allow_open_files(int(sys.argv[3])), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("now", "most", "wanted", "then"),
    [
        (100, 500, 300, (300, 300, 500)),
        (100, 500, 900, (500, 500, 500)),
        (400, 500, 300, (300, 400, 500)),
        (100, 100, 300, (100, 100, 100)),
    ],
)
def test_a_process_raises_its_own_limit_as_far_as_it_may(
    now: int, most: int, wanted: int, then: tuple[int, int, int]
) -> None:
    # In a process of its own: a limit that was lowered cannot be raised again by everybody.
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(now), str(most), str(wanted)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert tuple(map(int, asked.stdout.split())) == then
