from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.host.key_ring import KeyRing
from domain.errors import InvalidRegistrationKey, JoinKeyRefused, NotAdmitted
from tests.support.canary_secrets import canary

OLD, NEW = canary("old key"), canary("new key")


@dataclass
class FakeApi:
    """Accepts these keys, and records those that are presented."""

    keys: Sequence[str]
    presented: list[str] = field(default_factory=list)
    with_each_refusal: Callable[[], None] = lambda: None

    def __call__(self, key: str) -> str:
        self.presented.append(key)
        if key not in self.keys:
            self.with_each_refusal()
            raise InvalidRegistrationKey
        return "welcome"


@dataclass
class FakeKeys:
    keys: Sequence[str]

    def __call__(self) -> Sequence[str]:
        return self.keys


def test_the_first_key_is_presented_first_and_another_only_if_it_is_refused() -> None:
    key_ring = KeyRing(FakeKeys([NEW, OLD]))
    both, older = FakeApi([OLD, NEW]), FakeApi([OLD])

    assert (key_ring.try_each(both), key_ring.try_each(older)) == ("welcome", "welcome")
    assert (both.presented, older.presented) == ([NEW], [NEW, OLD])


def test_the_accepted_key_is_presented_first_from_then_on() -> None:
    key_ring = KeyRing(FakeKeys([NEW, OLD]))
    api = FakeApi([OLD])
    for _ in range(3):
        key_ring.try_each(api)
    api.keys = [NEW]
    key_ring.try_each(api)
    key_ring.try_each(api)

    assert api.presented == [NEW, OLD, OLD, OLD, OLD, NEW, NEW]


def test_a_key_accepted_before_the_keys_changed_is_not_preferred() -> None:
    keys = FakeKeys([OLD])
    key_ring = KeyRing(keys)
    api = FakeApi([OLD, NEW])
    key_ring.try_each(api)
    keys.keys = [NEW, OLD]
    key_ring.try_each(api)

    assert api.presented == [OLD, NEW]


def test_a_key_that_is_added_while_the_others_are_refused_is_presented_too() -> None:
    keys = FakeKeys([OLD])
    api = FakeApi([NEW], with_each_refusal=lambda: setattr(keys, "keys", [NEW]))

    assert KeyRing(keys).try_each(api) == "welcome"
    assert api.presented == [OLD, NEW]


def test_a_host_without_a_key_presents_an_empty_one() -> None:
    api = FakeApi([""])

    assert KeyRing(FakeKeys([])).try_each(api) == "welcome"


KEYS = st.lists(st.sampled_from("abcd"), unique=True)


@given(calls=st.lists(st.tuples(KEYS, KEYS)))
def test_a_call_is_refused_only_if_every_key_is_and_no_key_is_presented_twice(
    calls: list[tuple[list[str], list[str]]],
) -> None:
    keys = FakeKeys([])
    key_ring = KeyRing(keys)
    for configured, accepted in calls:
        keys.keys, api = configured, FakeApi(accepted)
        try:
            key_ring.try_each(api)
        except InvalidRegistrationKey:
            assert not set(configured) & set(accepted)
            assert sorted(api.presented) == sorted(configured or [""])
        else:
            assert api.presented[-1] in accepted
            assert len(api.presented) == len(set(api.presented))


def test_a_join_key_that_no_longer_admits_the_host_does_not_stop_the_others() -> None:
    used_up, revoked = canary("used up"), canary("revoked")

    def call(key: str) -> str:
        if key in (used_up, revoked):
            raise JoinKeyRefused("jk-abcdefghij", f"is {key}")
        if key == OLD:
            raise InvalidRegistrationKey
        return key

    assert KeyRing(FakeKeys([used_up, OLD, revoked, NEW])).try_each(call) == NEW
    with pytest.raises(JoinKeyRefused, match=used_up):
        KeyRing(FakeKeys([OLD, used_up, revoked])).try_each(call)


@pytest.mark.parametrize("failure", [TimeoutError(), NotAdmitted("this machine", "was banned")])
def test_after_any_other_failure_no_other_key_is_presented(failure: Exception) -> None:
    presented: list[str] = []

    def fails(key: str) -> None:
        presented.append(key)
        raise failure

    with pytest.raises(type(failure)):
        KeyRing(FakeKeys([NEW, OLD])).try_each(fails)
    assert presented == [NEW]
