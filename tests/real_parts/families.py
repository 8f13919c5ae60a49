"""A process and all that it started, dealt with together."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import psutil


def kill_family(process: subprocess.Popen[bytes]) -> None:
    """Returns when none of them lives."""
    family = _family_of(process)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    while any(_lives(member) for member in family):
        time.sleep(0.01)


@contextlib.contextmanager
def frozen_family(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stopped until the block is left: connections stand, and the kernel accepts more."""
    family = _family_of(process)
    for member in family:
        member.suspend()
    try:
        yield
    finally:
        for member in family:
            member.resume()


def _family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    # It comes first: when children die before it, it has the time to notice and to restart them.
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def _lives(process: psutil.Process) -> bool:
    """A zombie does not: whoever adopted it may never reap it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
