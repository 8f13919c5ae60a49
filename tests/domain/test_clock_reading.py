from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.clock_reading import ClockReading

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SPANS = st.timedeltas(timedelta(0), timedelta(days=1))
SHIFTS = st.timedeltas(-timedelta(days=1), timedelta(days=1))


@given(there=SPANS, back=SPANS)
def test_clocks_that_agree_have_no_difference(there: timedelta, back: timedelta) -> None:
    reading = ClockReading(NOON, NOON + there, NOON + there + back)

    assert reading.difference == timedelta(0)


@given(there=SPANS, back=SPANS, ahead=SHIFTS)
def test_the_difference_is_at_most_the_true_one_and_less_by_at_most_the_round_trip(
    there: timedelta, back: timedelta, ahead: timedelta
) -> None:
    difference = ClockReading(NOON, NOON + there + ahead, NOON + there + back).difference

    assert abs(difference) <= abs(ahead)
    assert abs(difference) >= abs(ahead) - (there + back)
    assert difference * ahead.total_seconds() >= timedelta(0)


def test_a_clock_that_is_ahead_has_a_positive_difference() -> None:
    reading = ClockReading(NOON, NOON + timedelta(seconds=11), NOON + timedelta(seconds=1))

    assert reading.difference == timedelta(seconds=10)
