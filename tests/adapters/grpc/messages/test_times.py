from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from adapters.grpc.messages.times import (
    from_unix_seconds,
    optional_from_unix_seconds,
    to_unix_seconds,
)

TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds it


@given(TIMES)
def test_a_time_comes_back_to_the_second(time: datetime) -> None:
    seconds = to_unix_seconds(time)

    assert timedelta(0) <= time - from_unix_seconds(seconds) < timedelta(seconds=1)
    assert optional_from_unix_seconds(seconds) == from_unix_seconds(seconds)


def test_zero_means_no_time() -> None:
    assert to_unix_seconds(None) == 0
    assert optional_from_unix_seconds(0) is None
