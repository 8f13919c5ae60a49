import pytest

from domain.role import Role
from tests.support.operators import HOUR, Access


@pytest.fixture
def access() -> Access:
    return Access()


def test_keys_are_listed_in_pages_including_expired_and_revoked_ones(access: Access) -> None:
    for name in ("ann", "bob", "cleo"):
        access.key(name, Role.VIEWER, HOUR)
    access.revoke("ok-bbbbbbbbbb")
    access.clock.advance(HOUR)
    first = access.list(size=2)
    last = access.list(size=2, after=first.next_after or "")

    assert [key.name for key in first.keys] == ["ann", "bob"]
    assert first.next_after == "ok-bbbbbbbbbb"
    assert [key.name for key in last.keys] == ["cleo"]
    assert last.next_after is None
