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
    """Takes these keys, and remembers which it was shown."""

    keys: Sequence[str]
    shown: list[str] = field(default_factory=list)
    with_each_refusal: Callable[[], None] = lambda: None

    def __call__(self, key: str) -> str:
        self.shown.append(key)
        if key not in self.keys:
            self.with_each_refusal()
            raise InvalidRegistrationKey
        return "welcome"


@dataclass
class FakeKeys:
    keys: Sequence[str]

    def __call__(self) -> Sequence[str]:
        return self.keys


def test_the_first_key_is_shown_first_and_another_only_when_it_is_refused() -> None:
    held = KeyRing(FakeKeys([NEW, OLD]))
    both, older = FakeApi([OLD, NEW]), FakeApi([OLD])

    assert (held.try_each(both), held.try_each(older)) == ("welcome", "welcome")
    assert (both.shown, older.shown) == ([NEW], [NEW, OLD])


def test_the_key_that_was_taken_is_shown_from_then_on() -> None:
    held = KeyRing(FakeKeys([NEW, OLD]))
    api = FakeApi([OLD])
    for _ in range(3):
        held.try_each(api)
    api.keys = [NEW]
    held.try_each(api)
    held.try_each(api)

    assert api.shown == [NEW, OLD, OLD, OLD, OLD, NEW, NEW]


def test_what_was_taken_before_a_change_of_the_keys_does_not_count() -> None:
    keys = FakeKeys([OLD])
    held = KeyRing(keys)
    api = FakeApi([OLD, NEW])
    held.try_each(api)
    keys.keys = [NEW, OLD]
    held.try_each(api)

    assert api.shown == [OLD, NEW]


def test_a_key_that_comes_in_while_the_others_are_refused_is_shown_too() -> None:
    keys = FakeKeys([OLD])
    api = FakeApi([NEW], with_each_refusal=lambda: setattr(keys, "keys", [NEW]))

    assert KeyRing(keys).try_each(api) == "welcome"
    assert api.shown == [OLD, NEW]


def test_who_has_no_key_shows_none() -> None:
    api = FakeApi([""])

    assert KeyRing(FakeKeys([])).try_each(api) == "welcome"


KEYS = st.lists(st.sampled_from("abcd"), unique=True)


@given(calls=st.lists(st.tuples(KEYS, KEYS)))
def test_a_call_is_refused_only_if_each_key_was_and_none_is_shown_twice(
    calls: list[tuple[list[str], list[str]]],
) -> None:
    keys = FakeKeys([])
    held = KeyRing(keys)
    for held_now, taken_now in calls:
        keys.keys, api = held_now, FakeApi(taken_now)
        try:
            held.try_each(api)
        except InvalidRegistrationKey:
            assert not set(held_now) & set(taken_now)
            assert sorted(api.shown) == sorted(held_now or [""])
        else:
            assert api.shown[-1] in taken_now
            assert len(api.shown) == len(set(api.shown))


def test_a_join_key_that_admits_nobody_any_more_keeps_no_other_from_being_shown() -> None:
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
def test_other_failures_show_no_other_key(failure: Exception) -> None:
    shown: list[str] = []

    def fails(key: str) -> None:
        shown.append(key)
        raise failure

    with pytest.raises(type(failure)):
        KeyRing(FakeKeys([NEW, OLD])).try_each(fails)
    assert shown == [NEW]
