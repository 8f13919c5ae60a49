from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.token_bucket import TokenBucket

BUCKET = TokenBucket(per_second=10, capacity=50)
RATES = st.floats(0.1, 1000)
# Seconds between attempts.
PAUSES = st.lists(st.floats(0, 5), min_size=1, max_size=200)


def taken(bucket: TokenBucket, moments: list[float], start: float = 0.0) -> list[float]:
    """The times at which a token was available."""
    full_at, found = start, []
    for now in moments:
        then = bucket.take(full_at, now)
        if then is not None:
            full_at = then
            found.append(now)
    return found


def test_a_full_bucket_gives_its_capacity_at_once_and_no_more() -> None:
    assert len(taken(BUCKET, [1000.0] * 80, start=7.0)) == 50


def test_a_bucket_fills_at_its_rate() -> None:
    after_a_second = [1000.0] * 80 + [1001.0] * 80

    assert len(taken(BUCKET, after_a_second, start=1000.0)) == 60


def test_an_unused_bucket_never_exceeds_its_capacity() -> None:
    assert len(taken(BUCKET, [0.0] * 80 + [1e6] * 80)) == 100


@given(per_second=RATES, capacity=st.integers(1, 100), pauses=PAUSES)
def test_callers_never_get_more_than_the_capacity_and_the_refill(
    per_second: float, capacity: int, pauses: list[float]
) -> None:
    moments = taken(TokenBucket(per_second, capacity), list(accumulate(pauses)))

    for first in range(len(moments)):
        for last in range(first, len(moments)):
            most_then = capacity + per_second * (moments[last] - moments[first])
            assert last - first + 1 <= most_then + 1e-6


@given(per_second=RATES, capacity=st.integers(1, 100), pauses=PAUSES)
def test_a_token_is_available_after_the_wait_and_not_before(
    per_second: float, capacity: int, pauses: list[float]
) -> None:
    bucket, now, full_at = TokenBucket(per_second, capacity), 0.0, 0.0
    for pause in pauses:
        now += pause
        then = bucket.take(full_at, now)
        if then is not None:
            assert bucket.wait(full_at, now) == pytest.approx(0, abs=1e-6)
            full_at = then
            continue
        wait = bucket.wait(full_at, now)
        assert wait > 0
        assert bucket.take(full_at, now + wait / 2) is None
        assert bucket.take(full_at, now + wait + 1e-6) is not None
