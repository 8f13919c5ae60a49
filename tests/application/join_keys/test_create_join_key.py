import pytest

from adapters.system.new_key import new_key
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_keys import ListJoinKeys
from domain.errors import (
    InvalidField,
)
from domain.join_key import NewJoinKey
from domain.keys import PlaintextKey
from tests.support.fleet import OPEN, Fleet, admitting_keys
from tests.support.join_keys import SHARED, join, make, with_keys


def test_the_answer_says_whether_any_host_may_join_without_a_key(fleet: Fleet) -> None:
    assert not make(fleet).is_open_registration
    with_keys(fleet, OPEN)

    assert make(fleet).is_open_registration


def test_only_a_digest_of_the_secret_is_stored(fleet: Fleet) -> None:
    create = CreateJoinKey(fleet.store, fleet.clock, new_key, OPEN)
    created = create(NewJoinKey(), "anna")
    other = create(NewJoinKey(), "anna")

    assert created.plaintext_key.secret not in repr(created)
    assert created.plaintext_key.secret != other.plaintext_key.secret
    assert created.key.created_by == "anna"
    assert PlaintextKey.parse(str(created.plaintext_key), "jk") == created.plaintext_key
    assert join(with_keys(fleet, admitting_keys(SHARED)), created).server.name == "web"


def test_invalid_terms_create_no_key(fleet: Fleet) -> None:
    with pytest.raises(InvalidField):
        make(fleet, uses=0)
    assert ListJoinKeys(fleet.store)(size=5).keys == []
