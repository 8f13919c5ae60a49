"""Every comparison with a secret is made by hmac.compare_digest, which takes the same time however
much of a guess was right, and is made whether or not there is anything to compare with.

Measured times would show the same, but not on a busy machine.
"""

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest

from adapters.memory.clock import MemoryClock
from adapters.memory.store import MemoryStore
from application.access.authenticate_host import find_join_key
from application.access.identify_operator import IdentifyOperator
from application.access.key_cache import KeyCache
from application.access.limit_calls import LimitCalls
from application.access.rate_limit import RateLimit
from domain.errors import InvalidRegistrationKey, OperatorKeyRefused
from domain.host_credential import HostCredential, issue, read
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey, equal_in_constant_time
from domain.operator_key import OperatorKey
from domain.role import Role
from domain.shared_keys import check_registration_key
from domain.token_bucket import TokenBucket
from tests.support.builders import NOW, SECOND
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN, admitting_keys

Compare = Callable[[str | bytes, str | bytes], bool]

KEY = canary("registration key")
OTHER_KEYS = [canary("another key"), canary("a third key")]
JOIN_KEY = PlaintextKey("jk-abcdefghij", canary("join key"))
OPERATORS_KEY = PlaintextKey("ok-abcdefghij", canary("operator's key"))
SIGNING_KEY = b"k" * 32
CREDENTIAL = issue(HostCredential("abcdefghij", 42, 7, NOW, NOW + SECOND), SIGNING_KEY)
CONTENT, _, SIGNATURE = CREDENTIAL.rpartition(".")


@dataclass
class Comparisons:
    """The calls of hmac.compare_digest, and its answer: the true one, unless `answer` is set."""

    compare: Compare
    answer: bool | None = None
    count: int = 0

    def __call__(self, one: str | bytes, other: str | bytes) -> bool:
        self.count += 1
        truth = self.compare(one, other)
        return truth if self.answer is None else self.answer


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Comparisons:
    spy = Comparisons(hmac.compare_digest)
    monkeypatch.setattr(hmac, "compare_digest", spy)
    return spy


@dataclass(frozen=True)
class Place:
    """Where a guess is compared with a secret, and how many comparisons each guess costs."""

    secret: str
    is_right: Callable[[str], bool]
    comparisons: int = 1


def store_with_keys() -> MemoryStore:
    store = MemoryStore()
    with store.begin() as transaction:
        transaction.join_keys.add(
            NewJoinKey().key(JOIN_KEY.key_id, JOIN_KEY.digest, NOW, "somebody")
        )
        transaction.operator_keys.add(
            OperatorKey(
                OPERATORS_KEY.key_id, OPERATORS_KEY.digest, "Zoë", Role.ADMIN, NOW, "somebody"
            )
        )
    return store


STORE = store_with_keys()
IDENTIFY = IdentifyOperator(STORE, MemoryClock(NOW), KEY)


def is_registration_key(guess: str, keys: tuple[str, ...] = (KEY,)) -> bool:
    with suppress(InvalidRegistrationKey):
        return check_registration_key(keys, guess) is None
    return False


def is_join_key(guess: str, key_id: str = JOIN_KEY.key_id) -> bool:
    with STORE.begin() as transaction, suppress(InvalidRegistrationKey):
        return bool(find_join_key(transaction, PlaintextKey(key_id, guess)))
    return False


def is_operator(guess: str) -> bool:
    with suppress(OperatorKeyRefused):
        return bool(IDENTIFY(guess, "10.0.0.7", on_this_machine=False))
    return False


def is_operators_key(guess: str, key_id: str = OPERATORS_KEY.key_id) -> bool:
    return is_operator(f"{key_id}.{guess}")


def is_cached(guess: str, key_id: str = JOIN_KEY.key_id) -> bool:
    cache = KeyCache(STORE, OPEN)
    cache.refresh()
    return cache.contains(PlaintextKey(key_id, guess))


PLACES = {
    "the only registration key": Place(KEY, is_registration_key),
    "the first of three registration keys": Place(
        KEY, lambda guess: is_registration_key(guess, (KEY, *OTHER_KEYS)), comparisons=3
    ),
    "the last of three registration keys": Place(
        KEY, lambda guess: is_registration_key(guess, (*OTHER_KEYS, KEY)), comparisons=3
    ),
    "the operator key of the settings": Place(KEY, is_operator),
    "two texts": Place(KEY, lambda guess: equal_in_constant_time(guess, KEY)),
    "the secret of a key": Place(
        JOIN_KEY.secret,
        lambda guess: PlaintextKey(JOIN_KEY.key_id, guess).matches(JOIN_KEY.digest),
    ),
    "the secret of a join key": Place(JOIN_KEY.secret, is_join_key),
    "the secret of an operator's key": Place(OPERATORS_KEY.secret, is_operators_key),
    "the secret of a cached key": Place(JOIN_KEY.secret, is_cached),
    "the signature of a credential": Place(
        SIGNATURE, lambda guess: read(f"{CONTENT}.{guess}", SIGNING_KEY) is not None
    ),
}
each_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


def guesses(secret: str) -> list[str]:
    """Wrong at the start, wrong at the end, too short, and too long."""
    return [f"!{secret[1:]}", f"{secret[:-1]}!", secret[:-1], secret[1:], f"{secret}!", "!"]


@each_place
def test_every_guess_costs_the_same_number_of_comparisons(
    comparisons: Comparisons, place: Place
) -> None:
    costs = []
    for guess in [place.secret, *guesses(place.secret)]:
        comparisons.count = 0
        assert place.is_right(guess) == (guess == place.secret)
        costs.append(comparisons.count)

    assert set(costs) == {place.comparisons}


@each_place
@pytest.mark.parametrize("answer", [True, False])
def test_the_comparison_alone_decides(comparisons: Comparisons, place: Place, answer: bool) -> None:
    comparisons.answer = answer

    for guess in [place.secret, *guesses(place.secret)]:
        assert place.is_right(guess) is answer


@pytest.mark.parametrize(
    "is_right",
    [
        pytest.param(lambda secret: is_join_key(secret, "jk-bbbbbbbbbb"), id="join key"),
        pytest.param(lambda secret: is_operators_key(secret, "ok-bbbbbbbbbb"), id="operator's key"),
        pytest.param(lambda secret: is_cached(secret, "jk-bbbbbbbbbb"), id="cached key"),
    ],
)
def test_an_unknown_id_costs_as_much_as_a_wrong_secret(
    comparisons: Comparisons, is_right: Callable[[str], bool]
) -> None:
    assert not is_right(JOIN_KEY.secret)
    assert comparisons.count == 1


def test_limits_of_calls_compare_every_registration_key(comparisons: Comparisons) -> None:
    authenticate_host = admitting_keys(KEY, *OTHER_KEYS)
    cache = KeyCache(STORE, authenticate_host)
    cache.refresh()
    unlimited = RateLimit(TokenBucket(1000, 1000), "")
    limits = LimitCalls(cache, unlimited, unlimited, unlimited, unlimited, KEY)
    for key in (KEY, *OTHER_KEYS, "wrong"):
        comparisons.count = 0
        limits.of_host(key, "", "10.0.0.7")

        assert comparisons.count == 3
    comparisons.count = 0
    limits.of_operator("wrong", "10.0.0.7", on_this_machine=False)

    assert comparisons.count == 1
