import pytest

from application.join_keys.revoke_join_key import RevokeJoinKey
from domain.errors import (
    InvalidField,
    JoinKeyNotFound,
)
from tests.support.builders import NOW, SECOND
from tests.support.fleet import Fleet
from tests.support.join_keys import SECRET, join, make


def test_a_second_revocation_keeps_the_time_of_the_first(fleet: Fleet) -> None:
    key = make(fleet)
    join(fleet, key)
    revoke = RevokeJoinKey(fleet.store, fleet.clock)
    first = revoke(key.key.key_id)
    fleet.clock.advance(SECOND)

    assert revoke(key.key.key_id) == first
    assert (first.key.revoked_at, first.used) == (NOW, 1)


def test_an_invalid_key_id_is_refused_without_repeating_it(fleet: Fleet) -> None:
    key = make(fleet)
    for wrong in (str(key.plaintext_key), "ok-aaaaaaaaaa", "", "\0"):
        with pytest.raises(InvalidField) as refused:
            RevokeJoinKey(fleet.store, fleet.clock)(wrong)
        assert SECRET not in str(refused.value)


def test_an_unknown_key_is_not_found(fleet: Fleet) -> None:
    with pytest.raises(JoinKeyNotFound):
        RevokeJoinKey(fleet.store, fleet.clock)("jk-zzzzzzzzzz")
