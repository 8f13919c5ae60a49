"""Run tests several times in one process, each time in another random order.

    python -m tests.support.run_shuffled [--seeds 1,2] [pytest arguments]

Without arguments it runs the tests of the domain and the application. A test that fails here and
not in `make test` depends on another test or on an earlier run of itself.
"""

import argparse
import random
import sys

import pytest

DEFAULT_TESTS = ["tests/domain", "tests/application"]


class Shuffle:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._random.shuffle(items)


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", default="1,2")
    known, arguments = options.parse_known_args()
    failed = False
    for seed in map(int, known.seeds.split(",")):
        print(f"seed {seed}", flush=True)
        runs = ["-q", "-p", "no:cacheprovider", *(arguments or DEFAULT_TESTS)]
        failed |= pytest.main(runs, plugins=[Shuffle(seed)]) != pytest.ExitCode.OK
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
