import pytest

from application.list_configurations import ListConfigurations
from application.put_configuration import PutConfiguration
from application.record_heartbeat import Heartbeat
from application.register_server import Registration
from domain.errors import ServerNotFound
from tests.fleet import Fleet


def test_a_deleted_server_is_unknown(fleet: Fleet) -> None:
    web = fleet.register(Registration("web")).server.server_id
    fleet.delete(web)

    with pytest.raises(ServerNotFound):
        fleet.get(web)
    with pytest.raises(ServerNotFound):
        fleet.delete(web)
    assert [type(answer) for answer in fleet.heartbeat([Heartbeat(web)])] == [ServerNotFound]


def test_a_host_that_joins_again_begins_with_nothing_under_another_id(fleet: Fleet) -> None:
    web = fleet.register(Registration("web", "production")).server.server_id
    PutConfiguration(fleet.store, fleet.clock)(web, "valheim", "{}")
    fleet.delete(web)
    again = fleet.register(Registration("web")).server

    assert again.server_id > web
    assert (again.environment, again.config_revision) == ("", 0)
    assert ListConfigurations(fleet.store)(again.server_id) == []
