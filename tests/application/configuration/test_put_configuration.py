import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.get_configuration import GetConfiguration
from application.configuration.list_configurations import ListConfigurations
from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registration
from domain.configuration import (
    Configuration,
    ConfigurationSummary,
)
from domain.errors import (
    InvalidField,
    ServerNotFound,
)
from tests.support.builders import INTERVAL, NOW, SECOND
from tests.support.fleet import Fleet


@pytest.fixture
def summaries(fleet: Fleet) -> ListConfigurations:
    return ListConfigurations(fleet.store)


def test_a_document_is_stored_byte_for_byte(
    put: PutConfiguration, get: GetConfiguration, web: int
) -> None:
    document = ' {"motd":  "Grüße",\n"slots": 1.50}\r\n'

    assert put(web, "valheim", document) == Configuration("valheim", document, 1, NOW)
    assert get(web, "valheim") == Configuration("valheim", document, 1, NOW)


def test_each_change_of_a_server_has_its_own_revision(
    fleet: Fleet,
    put: PutConfiguration,
    delete: DeleteConfiguration,
    summaries: ListConfigurations,
    web: int,
) -> None:
    put(web, "valheim", "{}")
    put(web, "rust", "{}")
    later = fleet.clock.advance(SECOND)
    put(web, "valheim", "{}")
    put(web, "factorio", "{}")
    delete(web, "factorio")

    assert fleet.get(web).config_revision == 5
    assert summaries(web) == [
        ConfigurationSummary("rust", 2, NOW),
        ConfigurationSummary("valheim", 3, later),
    ]


def test_a_host_learns_the_revision_from_its_heartbeat_and_its_registration(
    fleet: Fleet, put: PutConfiguration, web: int
) -> None:
    put(web, "valheim", "{}")

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(1, INTERVAL)]
    assert fleet.register(Registration("web")).server.config_revision == 1


@pytest.mark.parametrize(
    ("name", "document", "field"),
    [("../x", "{}", "name"), ("", "{}", "name"), ("x", "{", "document"), ("x", "", "document")],
)
def test_an_invalid_document_is_refused_and_takes_no_revision(
    fleet: Fleet, put: PutConfiguration, web: int, name: str, document: str, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        put(web, name, document)

    assert refused.value.field == field
    assert fleet.get(web).config_revision == 0


def test_an_unknown_server_gets_no_document(put: PutConfiguration) -> None:
    with pytest.raises(ServerNotFound):
        put(4711, "valheim", "{}")
