from hypothesis import given
from hypothesis import strategies as st

from domain.backoff import MAX_DELAY_SECONDS, retry_delay

FAILURES = st.integers(1, 10**9)
FRACTIONS = st.floats(0, 1)


@given(failures=FAILURES, jitter=FRACTIONS)
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(
    failures: int, jitter: float
) -> None:
    assert 0.25 <= retry_delay(failures, jitter) <= MAX_DELAY_SECONDS


@given(failures=FAILURES, jitter=FRACTIONS)
def test_another_failure_never_shortens_the_wait(failures: int, jitter: float) -> None:
    assert retry_delay(failures + 1, jitter) >= retry_delay(failures, jitter)


@given(failures=FAILURES, jitter=FRACTIONS)
def test_chance_takes_up_to_half_of_the_wait(failures: int, jitter: float) -> None:
    whole = retry_delay(failures, 0)

    assert whole / 2 <= retry_delay(failures, jitter) <= whole


def test_waits_double_from_half_a_second_up_to_half_a_minute() -> None:
    waits = [retry_delay(failures, 0) for failures in range(1, 9)]

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


@given(failures=FAILURES, jitter=FRACTIONS, max_seconds=st.floats(1, 100))
def test_a_wait_is_never_longer_than_it_may_be(
    failures: int, jitter: float, max_seconds: float
) -> None:
    assert retry_delay(failures, jitter, max_seconds) <= min(max_seconds, MAX_DELAY_SECONDS)


@given(failures=FAILURES, jitter=FRACTIONS, min_seconds=st.floats(0, 60))
def test_a_wait_that_was_asked_for_is_kept_and_does_not_bring_all_back_at_once(
    failures: int, jitter: float, min_seconds: float
) -> None:
    wait = retry_delay(failures, jitter, min_seconds=min_seconds)

    assert wait >= min(min_seconds, MAX_DELAY_SECONDS)
    assert wait == max(
        retry_delay(failures, jitter),
        min(min_seconds * (1 + jitter / 2), MAX_DELAY_SECONDS),
    )


@given(failures=FAILURES, jitter=FRACTIONS, max_seconds=st.floats(1, 100))
def test_nobody_is_kept_waiting_for_longer_than_it_may_be(
    failures: int, jitter: float, max_seconds: float
) -> None:
    assert retry_delay(failures, jitter, max_seconds, min_seconds=1e9) <= max_seconds
