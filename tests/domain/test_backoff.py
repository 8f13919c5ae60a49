from hypothesis import given
from hypothesis import strategies as st

from domain.backoff import MAX_WAIT_SECONDS, wait_before_retry

FAILURES = st.integers(1, 10**9)
FRACTIONS = st.floats(0, 1)


@given(failures=FAILURES, fraction=FRACTIONS)
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(
    failures: int, fraction: float
) -> None:
    assert 0.25 <= wait_before_retry(failures, fraction) <= MAX_WAIT_SECONDS


@given(failures=FAILURES, fraction=FRACTIONS)
def test_another_failure_never_shortens_the_wait(failures: int, fraction: float) -> None:
    assert wait_before_retry(failures + 1, fraction) >= wait_before_retry(failures, fraction)


@given(failures=FAILURES, fraction=FRACTIONS)
def test_chance_takes_up_to_half_of_the_wait(failures: int, fraction: float) -> None:
    whole = wait_before_retry(failures, 0)

    assert whole / 2 <= wait_before_retry(failures, fraction) <= whole


def test_waits_double_from_half_a_second_up_to_half_a_minute() -> None:
    waits = [wait_before_retry(failures, 0) for failures in range(1, 9)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(failures=FAILURES, fraction=FRACTIONS, longest=st.floats(1, 100))
def test_a_wait_is_never_longer_than_it_may_be(
    failures: int, fraction: float, longest: float
) -> None:
    assert wait_before_retry(failures, fraction, longest) <= min(longest, MAX_WAIT_SECONDS)


@given(failures=FAILURES, fraction=FRACTIONS, least=st.floats(0, 60))
def test_a_wait_that_was_asked_for_is_kept_and_does_not_bring_all_back_at_once(
    failures: int, fraction: float, least: float
) -> None:
    wait = wait_before_retry(failures, fraction, least=least)

    assert wait >= min(least, MAX_WAIT_SECONDS)
    assert wait == max(
        wait_before_retry(failures, fraction),
        min(least * (1 + fraction / 2), MAX_WAIT_SECONDS),
    )


@given(failures=FAILURES, fraction=FRACTIONS, longest=st.floats(1, 100))
def test_nobody_is_kept_waiting_for_longer_than_it_may_be(
    failures: int, fraction: float, longest: float
) -> None:
    assert wait_before_retry(failures, fraction, longest, least=1e9) <= longest
