import hmac
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidRegistrationKey
from domain.keys import PlaintextKey
from domain.shared_keys import check_registration_key, is_open_registration, stripped_key
from tests.support.canary_secrets import almost, canary

# Any bytes, as an environment variable can contain them.
KEY = canary("registration key")
KEYS = st.binary(max_size=64).map(os.fsdecode)
SOME = st.lists(KEYS, min_size=1, max_size=4)
JOIN_KEY = f"jk-abcdefghij.{canary('join key')}"


@given(KEYS)
def test_any_host_may_join_if_no_key_is_configured(presented_key: str) -> None:
    assert check_registration_key((), presented_key) is None
    assert is_open_registration((), key_required=False)


@given(keys=SOME, data=st.data())
def test_each_configured_key_is_accepted(keys: list[str], data: st.DataObject) -> None:
    assert check_registration_key(keys, data.draw(st.sampled_from(keys))) is None


@given(configured=SOME, presented_key=KEYS)
def test_every_other_key_is_refused(configured: list[str], presented_key: str) -> None:
    if presented_key in configured:
        return

    with pytest.raises(InvalidRegistrationKey):
        check_registration_key(configured, presented_key)


@pytest.mark.parametrize("presented_key", [*almost(KEY), f"{KEY}\ud800", "\udcff"])
def test_a_key_that_is_almost_right_is_refused(presented_key: str) -> None:
    with pytest.raises(InvalidRegistrationKey) as refused:
        check_registration_key([canary("new registration key"), KEY], presented_key)

    assert str(refused.value) == "invalid registration key"


@pytest.mark.parametrize("place", range(3))
def test_every_key_is_compared_wherever_the_right_one_is(
    monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    compared: list[bytes] = []
    compare = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    keys = [canary(f"registration key {n}") for n in range(3)]
    check_registration_key(keys, keys[place])

    assert compared == [key.encode() for key in keys]


@pytest.mark.parametrize("presented_key", ["", KEY])
def test_no_host_joins_without_a_key_if_one_is_required(presented_key: str) -> None:
    with pytest.raises(InvalidRegistrationKey):
        check_registration_key((), presented_key, key_required=True)
    assert not is_open_registration((), key_required=True)
    assert not is_open_registration([KEY], key_required=False)


@pytest.mark.parametrize("shared_keys", [(), (KEY,)])
@pytest.mark.parametrize("key_required", [False, True])
def test_a_join_key_is_returned_for_a_look_up(
    shared_keys: Sequence[str], key_required: bool
) -> None:
    join_key = check_registration_key(shared_keys, JOIN_KEY, key_required=key_required)

    assert join_key == PlaintextKey("jk-abcdefghij", canary("join key"))


def test_a_shared_key_may_look_like_a_join_key() -> None:
    assert check_registration_key([JOIN_KEY], JOIN_KEY) is None


@pytest.mark.parametrize("wrapped", [KEY, f" {KEY}\t", f"{KEY}\r\n", f'"{KEY}"', f"'{KEY}' "])
def test_spaces_and_quotes_around_a_key_can_be_stripped(wrapped: str) -> None:
    assert stripped_key(wrapped) == KEY
