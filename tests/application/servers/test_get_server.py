import pytest

from domain.errors import ServerNotFound
from tests.support.fleet import Fleet


@pytest.mark.parametrize("server_id", [0, -1, 2**63 - 1])
def test_an_unknown_server_is_not_found(fleet: Fleet, server_id: int) -> None:
    fleet.create("web", "")

    with pytest.raises(ServerNotFound) as missing:
        fleet.get(server_id)

    assert str(missing.value) == f"server {server_id} does not exist"
