from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.certificate_life import BACKDATED, CertificateLife, wait_before_renewing

ISSUED = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LIFETIMES = st.integers(60, 10 * 365 * 86400)
CLOCKS = st.floats(0, 1e9)


@given(lifetime=LIFETIMES, now=CLOCKS)
def test_a_new_certificate_is_renewed_after_half_of_its_life_by_its_own_clock(
    lifetime: int, now: float
) -> None:
    life = CertificateLife.just_issued(
        ISSUED - BACKDATED, ISSUED + timedelta(seconds=lifetime), now
    )

    assert not life.is_half_over(now + lifetime / 2 - 1)
    assert life.is_half_over(now + lifetime / 2 + 1)
    assert not life.is_over(now + lifetime - 1)
    assert life.is_over(now + lifetime + 1)


@given(lifetime=LIFETIMES, gone=st.floats(0, 1), now=CLOCKS)
def test_a_loaded_certificate_has_used_up_a_part_of_its_life(
    lifetime: int, gone: float, now: float
) -> None:
    age = timedelta(seconds=lifetime * gone)
    life = CertificateLife.loaded(
        ISSUED - BACKDATED, ISSUED + timedelta(seconds=lifetime), ISSUED + age, now
    )

    assert life.ends - now == pytest.approx(lifetime * (1 - gone), abs=0.01)
    assert life.is_half_over(now + 1) or gone < 0.5
    assert not life.is_half_over(now - 1) or gone > 0.5 - 1 / lifetime


@given(behind=st.timedeltas(timedelta(), timedelta(days=10000)))
def test_a_slow_clock_does_not_extend_the_life_of_a_loaded_certificate(behind: timedelta) -> None:
    life = CertificateLife.loaded(ISSUED - BACKDATED, ISSUED + DAY, ISSUED - behind, 1000)

    assert life.ends == pytest.approx(1000 + DAY.total_seconds())


def test_a_fast_clock_expires_a_loaded_certificate() -> None:
    life = CertificateLife.loaded(ISSUED - BACKDATED, ISSUED + DAY, ISSUED + 2 * DAY, 1000)

    assert life.is_over(1000)


def test_a_certificate_that_is_not_backdated_has_its_whole_life() -> None:
    life = CertificateLife.just_issued(ISSUED, ISSUED + timedelta(minutes=4), 1000)

    assert not life.is_half_over(1119)
    assert life.is_half_over(1121)


def test_the_wait_between_attempts_doubles_up_to_ten_minutes() -> None:
    waits = [wait_before_renewing(attempts) for attempts in (1, 2, 3, 7, 8, 1000)]

    assert waits == [5, 10, 20, 320, 600, 600]
