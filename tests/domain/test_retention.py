from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.retention import duration_in_words

UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (2, "2 seconds"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (120, "2 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (86400, "24 hours"),
        (86401, "86401 seconds"),
        (36 * 3600, "36 hours"),
        (2 * 86400, "2 days"),
        (30 * 86400, "30 days"),
        (30 * 86400 + 3600, "721 hours"),
    ],
)
def test_a_duration_is_in_the_largest_unit_without_a_remainder(seconds: int, words: str) -> None:
    assert duration_in_words(timedelta(seconds=seconds)) == words


@given(seconds=st.integers(1, 10 * 365 * 86400))
def test_the_words_give_the_exact_duration(seconds: int) -> None:
    number, unit = duration_in_words(timedelta(seconds=seconds)).split()

    assert int(number) * UNITS[unit.removesuffix("s")] == seconds
    assert unit.endswith("s") is (number != "1")
