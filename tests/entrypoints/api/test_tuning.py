import os
import threading

import pytest

from entrypoints.api.tuning import batch_threads


def policies_of(given: int) -> tuple[int, int]:
    """The policies of a thread created inside and of its creator, which had the policy `given`."""
    policies: list[int] = []

    def note() -> None:
        policies.append(os.sched_getscheduler(0))

    def make_one() -> None:
        os.sched_setscheduler(0, given, os.sched_param(0))
        with batch_threads():
            inside = threading.Thread(target=note)
            inside.start()
            inside.join()
        note()

    # A policy is a thread's own, so that of the tests stays what it is.
    maker = threading.Thread(target=make_one)
    maker.start()
    maker.join()
    of_inside, of_maker = policies
    return of_inside, of_maker


def test_only_threads_created_inside_are_scheduled_as_a_batch_job() -> None:
    assert policies_of(os.SCHED_OTHER) == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_a_process_with_another_policy_keeps_it() -> None:
    assert policies_of(os.SCHED_IDLE) == (os.SCHED_IDLE, os.SCHED_IDLE)


def test_a_sandbox_that_forbids_the_policy_is_tolerated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)

    with batch_threads():
        pass
