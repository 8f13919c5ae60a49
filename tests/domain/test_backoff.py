from hypothesis import given
from hypothesis import strategies as st

from domain.backoff import MAX_DELAY_SECONDS, retry_delay

FAILURES = st.integers(1, 10**9)
FRACTIONS = st.floats(0, 1)


@given(failures=FAILURES, jitter=FRACTIONS)
def test_a_delay_is_at_most_the_maximum_and_at_least_half_of_the_first(
    failures: int, jitter: float
) -> None:
    assert 0.25 <= retry_delay(failures, jitter) <= MAX_DELAY_SECONDS


@given(failures=FAILURES, jitter=FRACTIONS)
def test_another_failure_never_shortens_the_delay(failures: int, jitter: float) -> None:
    assert retry_delay(failures + 1, jitter) >= retry_delay(failures, jitter)


@given(failures=FAILURES, jitter=FRACTIONS)
def test_jitter_removes_up_to_half_of_the_delay(failures: int, jitter: float) -> None:
    whole = retry_delay(failures, 0)

    assert whole / 2 <= retry_delay(failures, jitter) <= whole


def test_delays_double_from_half_a_second_up_to_thirty_seconds() -> None:
    waits = [retry_delay(failures, 0) for failures in range(1, 9)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(failures=FAILURES, jitter=FRACTIONS, max_seconds=st.floats(1, 100))
def test_a_delay_never_exceeds_the_callers_maximum(
    failures: int, jitter: float, max_seconds: float
) -> None:
    assert retry_delay(failures, jitter, max_seconds) <= min(max_seconds, MAX_DELAY_SECONDS)


@given(failures=FAILURES, jitter=FRACTIONS, min_seconds=st.floats(0, 60))
def test_a_requested_minimum_is_kept_and_spread_by_jitter(
    failures: int, jitter: float, min_seconds: float
) -> None:
    wait = retry_delay(failures, jitter, min_seconds=min_seconds)

    assert wait >= min(min_seconds, MAX_DELAY_SECONDS)
    assert wait == max(
        retry_delay(failures, jitter),
        min(min_seconds * (1 + jitter / 2), MAX_DELAY_SECONDS),
    )


@given(failures=FAILURES, jitter=FRACTIONS, max_seconds=st.floats(1, 100))
def test_a_requested_minimum_never_exceeds_the_callers_maximum(
    failures: int, jitter: float, max_seconds: float
) -> None:
    assert retry_delay(failures, jitter, max_seconds, min_seconds=1e9) <= max_seconds


def test_the_largest_jitter_halves_the_first_delay_and_adds_half_to_a_minimum() -> None:
    assert retry_delay(1, jitter=1) == 0.25
    assert retry_delay(1, jitter=1, min_seconds=4) == 6
