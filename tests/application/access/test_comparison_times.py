"""How much of a guess was right is not told by the time that it takes to refuse it."""

import hmac
import operator
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median

import pytest

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.access.identify_operator import IdentifyOperator
from domain.errors import InvalidRegistrationKey, OperatorKeyRefused
from domain.host_credential import HostCredential, issue, read
from domain.keys import PlaintextKey
from domain.shared_keys import check_registration_key
from tests.support.builders import NOW, SECOND
from tests.support.canary_secrets import canary

LONG_KEY = canary("long key") * 64
SHOWN = PlaintextKey("jk-abcdefghij", canary("join key"))
SIGNING_KEY = b"k" * 32
CREDENTIAL = issue(HostCredential("abcdefghij", 42, 7, NOW, NOW + SECOND), SIGNING_KEY)
SAID, _, SIGNATURE = CREDENTIAL.rpartition(".")
IDENTIFY = IdentifyOperator(MemoryStore(), MemoryClock(NOW), LONG_KEY)

ROUNDS, TRIES = 101, 5
# Of what a guess takes that is wrong from the beginning. Measured: within 0.02 in constant time,
# also beside other load, and from 0.2 up where the comparison ends with the first difference.
MAX_SHARE = 0.1


def until_they_differ(one: Sequence[object], other: Sequence[object]) -> bool:
    """What a comparison must not do."""
    return len(one) == len(other) and all(map(operator.eq, one, other))


@dataclass(frozen=True)
class Place:
    """Where a guess is compared with the secret."""

    secret: str
    is_right: Callable[[str], bool]


def is_registration_key(guess: str) -> bool:
    with suppress(InvalidRegistrationKey):
        return check_registration_key([LONG_KEY], guess) is None
    return False


def is_operator_key(guess: str) -> bool:
    with suppress(OperatorKeyRefused):
        return bool(IDENTIFY(guess, "10.0.0.7", on_this_machine=False))
    return False


PLACES = {
    "registration key": Place(LONG_KEY, is_registration_key),
    "operator key": Place(LONG_KEY, is_operator_key),
    # The secret is not compared but its digest, of which 64 characters are all there is.
    "key with an id": Place(SHOWN.digest, SHOWN.matches),
    "credential": Place(SIGNATURE, lambda guess: read(f"{SAID}.{guess}", SIGNING_KEY) is not None),
}


def share_that_tells(place: Place) -> float:
    """By how much longer a guess takes that is wrong only at its end than one that is wrong from
    the beginning, as a share of what the latter takes."""
    wrong_at_once = f"!{place.secret[1:]}"
    wrong_at_last = f"{place.secret[:-1]}!"
    both = (wrong_at_once, wrong_at_last)
    taken: dict[str, list[int]] = {guess: [] for guess in both}
    for number in range(ROUNDS):
        for guess in both if number % 2 else reversed(both):
            begin = time.perf_counter_ns()
            place.is_right(guess)
            taken[guess].append(time.perf_counter_ns() - begin)
    early, late = taken[wrong_at_once], taken[wrong_at_last]
    longer = median(one - other for one, other in zip(late, early, strict=True))
    return abs(longer) / median(early)


def tells(place: Place) -> bool:
    """What a machine does besides may look like a difference once, or hide one, and not mostly."""
    return median(share_that_tells(place) for _ in range(TRIES)) > MAX_SHARE


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_time_of_a_refusal_does_not_tell_how_far_a_guess_was_right(place: Place) -> None:
    assert place.is_right(place.secret)
    assert not tells(place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_comparison_that_ends_with_the_first_difference_would_be_seen(
    monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    monkeypatch.setattr(hmac, "compare_digest", until_they_differ)

    assert place.is_right(place.secret)
    assert tells(place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("verdict", [True, False])
def test_nothing_but_a_comparison_in_constant_time_decides(
    monkeypatch: pytest.MonkeyPatch, place: Place, verdict: bool
) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda *_: verdict)

    for guess in (place.secret, f"!{place.secret[1:]}", f"{place.secret[:-1]}!"):
        assert place.is_right(guess) is verdict
