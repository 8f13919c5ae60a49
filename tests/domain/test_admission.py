import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.admission import admit, unwrapped
from domain.errors import InvalidRegistrationKey
from tests.planted import almost, planted

# As an environment variable gives them: any bytes at all.
KEY = planted("registration key")
KEYS = st.binary(max_size=64).map(os.fsdecode)


@given(KEYS)
def test_everybody_may_join_when_no_key_is_configured(given_key: str) -> None:
    admit(None, given_key)


@given(KEYS)
def test_the_configured_key_opens(key: str) -> None:
    admit(key, key)


@given(configured=KEYS, given_key=KEYS)
def test_every_other_key_is_refused(configured: str, given_key: str) -> None:
    if configured == given_key:
        return

    with pytest.raises(InvalidRegistrationKey):
        admit(configured, given_key)


@pytest.mark.parametrize("given_key", almost(KEY))
def test_a_key_that_is_almost_right_is_refused(given_key: str) -> None:
    with pytest.raises(InvalidRegistrationKey) as refused:
        admit(KEY, given_key)

    assert str(refused.value) == "invalid registration key"


@pytest.mark.parametrize("wrapped", [KEY, f" {KEY}\t", f"{KEY}\r\n", f'"{KEY}"', f"'{KEY}' "])
def test_blanks_and_quotes_around_a_key_can_be_taken_off(wrapped: str) -> None:
    assert unwrapped(wrapped) == KEY
