import os
import threading

import pytest

from entrypoints.api.tuning import batch_threads


def policies_of(given: int) -> tuple[int, int]:
    """Of a thread that is made inside, and of the one that made it, which had `given`."""
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


def test_threads_made_inside_are_a_batch_job_and_others_stay_what_they_are() -> None:
    assert policies_of(os.SCHED_OTHER) == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_a_policy_that_somebody_has_given_is_kept() -> None:
    assert policies_of(os.SCHED_IDLE) == (os.SCHED_IDLE, os.SCHED_IDLE)


def test_a_sandbox_that_forbids_it_keeps_nobody_from_serving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)

    with batch_threads():
        pass
