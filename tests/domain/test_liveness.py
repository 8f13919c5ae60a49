from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.liveness import (
    HeartbeatSchedule,
    ObservationWindow,
    Presence,
    Status,
    offline_presence,
    online_presence,
    parse_interval,
)
from tests.support.builders import INTERVAL, NOW, SECOND

INTERVALS = st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds))
FLEETS = st.integers(0, 10**9)
RATES = st.integers(1, 10**6)
# Gaps that are too long, short or zero, and a clock that was set back.
GAPS = st.lists(st.integers(0, 15) | st.integers(-100, 100), max_size=40)


@given(interval=INTERVALS, servers=FLEETS, rate=RATES)
def test_a_fleet_stays_under_the_rate(interval: timedelta, servers: int, rate: int) -> None:
    interval_given = HeartbeatSchedule(interval, rate).for_fleet(servers)

    assert servers / interval_given.total_seconds() <= rate


@given(interval=INTERVALS, servers=FLEETS, rate=RATES)
def test_the_interval_is_in_whole_seconds_and_never_shorter_than_the_setting(
    interval: timedelta, servers: int, rate: int
) -> None:
    interval_given = HeartbeatSchedule(interval, rate).for_fleet(servers)

    assert interval_given >= interval
    assert interval_given % SECOND == timedelta(0)


@given(interval=INTERVALS, servers=FLEETS, rate=RATES)
def test_the_interval_is_no_longer_than_needed(
    interval: timedelta, servers: int, rate: int
) -> None:
    interval_given = HeartbeatSchedule(interval, rate).for_fleet(servers)

    assert interval_given == interval or servers / (interval_given - SECOND).total_seconds() > rate


@given(INTERVALS)
def test_a_host_that_was_heard_may_be_silent_for_three_intervals(interval_given: timedelta) -> None:
    presence = online_presence(NOW, interval_given)

    assert presence == Presence(
        Status.ONLINE, NOW, NOW + interval_given + interval_given + interval_given
    )


def test_a_host_that_left_is_offline_at_once() -> None:
    assert offline_presence(NOW) == Presence(Status.OFFLINE, NOW, None)


@given(GAPS)
def test_no_server_expires_before_three_intervals_of_unbroken_observation(gaps: list[int]) -> None:
    watch, observations = ObservationWindow.start(NOW), [NOW]

    for gap in gaps:
        observations.append(observations[-1] + gap * SECOND)
        watch = watch.observe(observations[-1], max_gap=INTERVAL)

        unbroken = observations[-1] - _begin_of_the_last_unbroken_run(observations)
        assert watch.can_expire(observations[-1], INTERVAL) == (unbroken >= 3 * INTERVAL)


def _begin_of_the_last_unbroken_run(observations: list[datetime]) -> datetime:
    begin = observations[0]
    for earlier, later in pairwise(observations):
        if not timedelta(0) <= later - earlier <= INTERVAL:
            begin = later
    return begin


@pytest.mark.parametrize(
    ("seconds", "interval"),
    [(-1, 15), (0, 15), (1, 1), (15, 15), (3600, 3600), (3601, 3600), (2**31, 3600)],
)
def test_a_host_uses_the_interval_it_is_sent_within_limits(seconds: int, interval: int) -> None:
    assert parse_interval(seconds) == timedelta(seconds=interval)


def test_a_gap_up_to_the_maximum_continues_the_window_and_a_longer_one_restarts_it() -> None:
    window = ObservationWindow.start(NOW)
    same, late = NOW + INTERVAL, NOW + INTERVAL + SECOND

    assert window.observe(NOW, INTERVAL).since == NOW
    assert window.observe(same, INTERVAL).observe(same, INTERVAL).since == NOW
    assert window.observe(late, INTERVAL).since == late
    assert window.observe(NOW - SECOND, INTERVAL).since == NOW - SECOND
