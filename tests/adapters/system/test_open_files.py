import subprocess
import sys

import pytest

CODE = """
import resource, sys
from adapters.system.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
print(allow_open_files(int(sys.argv[3])), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "result"),
    [
        (100, 500, 300, (300, 300, 500)),
        (100, 500, 900, (500, 500, 500)),
        (400, 500, 300, (300, 400, 500)),
        (100, 100, 300, (100, 100, 100)),
    ],
)
def test_a_process_raises_its_soft_limit_up_to_the_hard_one(
    soft: int, hard: int, wanted: int, result: tuple[int, int, int]
) -> None:
    # In a process of its own: only root can raise a hard limit again.
    process = subprocess.run(
        [sys.executable, "-c", CODE, str(soft), str(hard), str(wanted)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert tuple(map(int, process.stdout.split())) == result
