"""Settings of the process that let it handle more heartbeats (docs/decisions/0024)."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# The number of new objects after which Python collects the youngest generation. The objects of a
# call are freed without a collection, and at Python's default of 700 (2,000 from 3.13 on) a
# collection would delay one of every few dozen calls.
_GC_THRESHOLD = 20_000


@contextmanager
def batch_threads() -> Iterator[None]:
    """Threads created inside, such as those of gRPC, do not preempt others when they wake up.

    They wake up several times per call to continue the work that another thread has just begun.
    Linux treats that as urgent unless the threads are marked as a batch job (SCHED_BATCH in
    sched(7)), which needs no privilege. A process with another policy keeps that policy.
    """
    has_default_policy = (
        sys.platform.startswith("linux") and os.sched_getscheduler(0) == os.SCHED_OTHER
    )
    if not has_default_policy or not _schedule(os.SCHED_BATCH):
        yield
        return
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER)


def _schedule(policy: int) -> bool:
    """Set the policy of this thread. Returns false if a sandbox forbids it."""
    try:
        os.sched_setscheduler(0, policy, os.sched_param(0))
    except PermissionError:
        return False
    return True


def tune_garbage_collection() -> None:
    """For a process that has loaded its modules and creates many short-lived objects."""
    gc.collect()
    # The loaded modules live as long as this process, so no collection needs to examine them again.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
