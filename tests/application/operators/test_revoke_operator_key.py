import pytest

from domain.errors import (
    InvalidField,
    OperatorKeyNotFound,
)
from tests.support.builders import NOW
from tests.support.canary_secrets import canary
from tests.support.operators import HOUR, Access


@pytest.fixture
def access() -> Access:
    return Access()


def test_a_second_revocation_keeps_the_time_of_the_first(access: Access) -> None:
    access.key()
    first = access.revoke("ok-aaaaaaaaaa")
    access.clock.advance(HOUR)

    assert first.revoked_at == NOW
    assert access.revoke("ok-aaaaaaaaaa") == first


def test_an_unknown_or_invalid_key_id_cannot_be_revoked(access: Access) -> None:
    presented_key = access.key()
    with pytest.raises(OperatorKeyNotFound):
        access.revoke("ok-zzzzzzzzzz")
    with pytest.raises(InvalidField) as refused:
        access.revoke(presented_key)

    assert refused.value.field == "key_id"
    assert canary("secret a") not in str(refused.value)
    assert access.identify_with(presented_key).name == "ann"
