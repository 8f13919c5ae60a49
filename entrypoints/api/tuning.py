"""What lets one process take more heartbeats (docs/decisions/0024)."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# How many objects are made before Python looks for cycles among the newest. What a call makes goes
# without that, and at Python's 700 (2,000 from 3.13 on) each few dozen calls wait for a look.
_GC_THRESHOLD = 20_000


@contextmanager
def batch_threads() -> Iterator[None]:
    """Threads that are made inside, as those of gRPC, do not interrupt others as they wake up.

    They wake up several times in each call, to go on with what another thread has just begun.
    Linux takes that for urgent, unless it is told that they are a batch job (SCHED_BATCH in
    sched(7)), which needs no privilege. Who has given this process another policy keeps it.
    """
    is_usual = sys.platform.startswith("linux") and os.sched_getscheduler(0) == os.SCHED_OTHER
    if not is_usual or not _schedule(os.SCHED_BATCH):
        yield
        return
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER)


def _schedule(policy: int) -> bool:
    """This thread, unless a sandbox forbids it."""
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except PermissionError:
        return False
    return True


def tune_garbage_collection() -> None:
    """For a process that has loaded all that it needs and makes many short-lived objects."""
    gc.collect()
    # All that was loaded lives as long as this process, and need not be looked through again.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
