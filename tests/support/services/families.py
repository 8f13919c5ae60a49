"""A process and all that it started, dealt with together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

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
    family: list[psutil.Process] = []
    try:
        # It first, so that nobody is born whom nobody stops.
        for find in (_first_of, _children_of):
            for member in find(process):
                with contextlib.suppress(ProcessLookupError):
                    suspend(member.pid)
                    family.append(member)
        yield
    finally:
        for member in family:
            member.resume()


def suspend(pid: int) -> None:
    """Returns when all of its threads stand: on a busy machine one stops after the other."""
    os.kill(pid, signal.SIGSTOP)
    while not _stands(pid):
        time.sleep(0.001)


def _stands(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    try:
        states = {stat.read_text().rpartition(")")[2].split()[0] for stat in threads}
    except (FileNotFoundError, ProcessLookupError):  # one has ended meanwhile
        return False
    return states <= {"T", "Z"}


def _family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    # It comes first: when children die before it, it has the time to notice and to restart them.
    return [*_first_of(process), *_children_of(process)]


def _first_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(process.pid)]


def _children_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _lives(process: psutil.Process) -> bool:
    """A zombie does not: whoever adopted it may never reap it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
