import pytest

from application.registration.register_server import Registration
from domain.errors import InvalidField, ServerNameTaken
from domain.liveness import NEVER_SEEN
from tests.support.fleet import Fleet


def test_a_server_can_be_created_before_its_host_joins(fleet: Fleet) -> None:
    server = fleet.create("web", "production")

    assert server.presence == NEVER_SEEN
    assert fleet.get(server.server_id) == server
    assert fleet.register(Registration("web")).server.server_id == server.server_id


def test_an_existing_name_is_refused(fleet: Fleet) -> None:
    before = fleet.register(Registration("web", "production")).server

    with pytest.raises(ServerNameTaken):
        fleet.create("web", "test")

    assert fleet.list(size=10).servers == [before]


@pytest.mark.parametrize(
    ("name", "environment", "field"), [("", "", "name"), ("web", "\n", "environment")]
)
def test_invalid_fields_are_refused(fleet: Fleet, name: str, environment: str, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        fleet.create(name, environment)

    assert refused.value.field == field
    assert fleet.list(size=10).servers == []
