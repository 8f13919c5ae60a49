import pytest

from application.configuration.list_configurations import ListConfigurations
from application.configuration.put_configuration import PutConfiguration
from domain.configuration import ConfigurationSummary
from domain.errors import ServerNotFound
from tests.support.builders import NOW
from tests.support.fleet import Fleet


def test_documents_are_listed_by_name_without_their_text(
    fleet: Fleet, put: PutConfiguration, web: int
) -> None:
    for name in ("valheim", "rust"):
        put(web, name, "{}")

    assert ListConfigurations(fleet.store)(web) == [
        ConfigurationSummary("rust", 2, NOW),
        ConfigurationSummary("valheim", 1, NOW),
    ]


def test_an_unknown_server_has_no_documents(fleet: Fleet) -> None:
    with pytest.raises(ServerNotFound):
        ListConfigurations(fleet.store)(4711)
