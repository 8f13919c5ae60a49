"""Signals a process together with all its descendants."""

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
    """Kill the process and its descendants. Returns when all are dead."""
    family = _family_of(process)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    while any(_is_alive(member) for member in family):
        time.sleep(0.01)


@contextlib.contextmanager
def frozen_family(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stop the process and its descendants for the block: connections stay open, and the kernel
    accepts more."""
    family: list[psutil.Process] = []
    try:
        # The parent first, so that it cannot start a child that is missed.
        for find in (_parent_of, _children_of):
            for member in find(process):
                with contextlib.suppress(ProcessLookupError):
                    suspend(member.pid)
                    family.append(member)
        yield
    finally:
        for member in family:
            member.resume()


def suspend(pid: int) -> None:
    """Stop a process. Returns when all its threads have stopped, which takes longer on a busy
    machine."""
    os.kill(pid, signal.SIGSTOP)
    while not _is_stopped(pid):
        time.sleep(0.001)


def _is_stopped(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    try:
        states = {stat.read_text().rpartition(")")[2].split()[0] for stat in threads}
    except (FileNotFoundError, ProcessLookupError):  # a thread has ended meanwhile
        return False
    return states <= {"T", "Z"}


def _family_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    # The parent comes first: if children died before it, it could notice and restart them.
    return [*_parent_of(process), *_children_of(process)]


def _parent_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(process.pid)]


def _children_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _is_alive(process: psutil.Process) -> bool:
    """Whether the process is alive. A zombie is not: its new parent may never reap it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
