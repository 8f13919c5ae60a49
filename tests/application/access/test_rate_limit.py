import sys
from dataclasses import dataclass, field

import pytest

from application.access.rate_limit import RateLimit
from domain.errors import TooManyCalls
from domain.token_bucket import TokenBucket


@dataclass
class Turnstile:
    """A limit of two in a second, three at once, under a clock that is turned by hand."""

    max_names: int = 1000
    now: float = 1000.0
    limit: RateLimit = field(init=False)

    def __post_init__(self) -> None:
        self.limit = RateLimit(TokenBucket(2, 3), "with this key", self.max_names, lambda: self.now)

    def lets_through(self, name: str, tries: int = 1) -> int:
        through = 0
        for _ in range(tries):
            try:
                self.limit.take(name)
            except TooManyCalls:
                continue
            through += 1
        return through


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile()


def test_each_name_has_a_limit_of_its_own(turnstile: Turnstile) -> None:
    assert turnstile.lets_through("a", 100) == 3
    assert turnstile.lets_through("b", 100) == 3


def test_a_refused_caller_learns_when_to_try_again(turnstile: Turnstile) -> None:
    turnstile.lets_through("a", 3)
    with pytest.raises(TooManyCalls) as refused:
        turnstile.limit.take("a")

    assert str(refused.value) == "too many calls with this key, try again in 1 s"
    turnstile.now += refused.value.retry_after_seconds
    assert turnstile.lets_through("a", 100) == 2


def test_calls_while_refused_do_not_prolong_the_refusal(turnstile: Turnstile) -> None:
    turnstile.lets_through("a", 1000)
    turnstile.now += 0.5

    assert turnstile.lets_through("a", 1000) == 1


def test_a_flood_of_names_takes_bounded_memory() -> None:
    turnstile = Turnstile(max_names=100)
    for number in range(1000):
        turnstile.lets_through(f"made up {number}")
    bytes_of_some = sys.getsizeof(turnstile.limit._full_at)
    for number in range(20_000):
        turnstile.lets_through(f"another {number}")

    assert len(turnstile.limit._full_at) <= 101
    assert sys.getsizeof(turnstile.limit._full_at) <= bytes_of_some


def test_a_flood_of_names_shares_one_bucket() -> None:
    turnstile = Turnstile(max_names=100)
    through = sum(turnstile.lets_through(f"made up {number}") for number in range(20_000))

    assert through == 100 + 3


def test_a_flood_of_names_does_not_reset_a_limit() -> None:
    turnstile = Turnstile(max_names=100)
    turnstile.lets_through("a", 3)
    for number in range(1000):
        turnstile.now += 0.001
        turnstile.lets_through(f"made up {number}")

    # As after a second without any flood.
    assert turnstile.lets_through("a", 100) == 2


def test_after_a_flood_there_is_room_for_new_names_again() -> None:
    turnstile = Turnstile(max_names=100)
    for number in range(1000):
        turnstile.lets_through(f"made up {number}")
    turnstile.now += 10

    assert [turnstile.lets_through(f"honest {number}", 100) for number in range(50)] == [3] * 50
