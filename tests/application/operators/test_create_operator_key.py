import pytest

from adapters.system.new_key import new_key
from domain.errors import (
    InvalidField,
)
from domain.keys import OPERATOR_KEY, PlaintextKey
from domain.operator_key import OperatorKey
from domain.role import Role
from tests.support.builders import NOW
from tests.support.operators import HOUR, Access


@pytest.fixture
def access() -> Access:
    return Access()


def test_a_key_is_stored_as_a_digest_with_its_creator(access: Access) -> None:
    key, plaintext_key = access.create("ann", Role.VIEWER, HOUR, "bob")
    with access.store.begin() as transaction:
        stored = transaction.operator_keys.get("ok-aaaaaaaaaa")

    assert stored == key
    assert stored == OperatorKey(
        "ok-aaaaaaaaaa", plaintext_key.digest, "ann", Role.VIEWER, NOW, "bob", NOW + HOUR
    )
    assert plaintext_key.secret not in repr((stored, plaintext_key))


@pytest.mark.parametrize(
    "name", ["", " ", " ann", "ann ", "an\nn", "x" * 101, "\u200b", "local", "OPERATOR_KEY"]
)
def test_an_invalid_name_gets_no_key(access: Access, name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        access.create(name, Role.VIEWER, None, "local")

    assert refused.value.field == "name"
    assert not access.list(size=1).keys


def test_generated_keys_have_their_kind_and_are_all_different() -> None:
    made = [new_key(OPERATOR_KEY) for _ in range(100)]

    assert len({key.key_id for key in made}) == len({key.secret for key in made}) == 100
    for key in made:
        assert PlaintextKey.parse(str(key), OPERATOR_KEY) == key
        assert len(key.secret) == 43
