import pytest

from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_selector_configuration import GetSelectorConfiguration
from application.configuration.list_selector_configurations import ListSelectorConfigurations
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.registration.register_server import Registration
from domain.configuration import Configuration, ConfigurationSummary
from domain.errors import InvalidField
from tests.support.builders import NOW
from tests.support.configured import LACKS_A_TIER, NYC, configured, register
from tests.support.fleet import Fleet


def test_a_document_on_a_selector_is_stored_byte_for_byte(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration
) -> None:
    document = ' {"motd":  "Grüße"}\r\n'
    configuration = put_on_selector(NYC, "motd", document)

    assert configuration == Configuration("motd", document, 1, NOW, NYC)
    assert GetSelectorConfiguration(fleet.store)(NYC, "motd") == configuration
    assert ListSelectorConfigurations(fleet.store)() == [ConfigurationSummary("motd", 1, NOW, NYC)]


def test_a_change_reaches_every_selected_server_and_no_other(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    delete_from_selector: DeleteSelectorConfiguration,
    nyc_web: int,
) -> None:
    other, elsewhere = register(fleet, "db", region="nyc"), register(fleet, "far", region="ams")
    put_on_selector(NYC, "motd", "{}")
    delete_from_selector(NYC, "motd")

    assert fleet.get(nyc_web).config_revision == fleet.get(other).config_revision == 2
    assert fleet.get(elsewhere).config_revision == 0
    assert configured(fleet, nyc_web) == [
        "an operator put the document motd on the selector region=nyc",
        "an operator deleted the document motd of the selector region=nyc",
    ]
    assert configured(fleet, elsewhere) == []


def test_all_changes_of_configuration_share_one_growing_revision(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    nyc_web: int,
) -> None:
    elsewhere = register(fleet, "far", region="ams")
    revisions = [
        put_on_selector(NYC, "a", "{}").revision,
        put(elsewhere, "a", "{}").revision,
        put(nyc_web, "a", "{}").revision,
        put_on_selector(NYC, "a", "{}").revision,
    ]

    assert revisions == [1, 2, 3, 4]
    assert (fleet.get(nyc_web).config_revision, fleet.get(elsewhere).config_revision) == (4, 2)


def test_a_revision_is_higher_than_one_that_an_older_api_gave_to_a_server(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration, put: PutConfiguration, nyc_web: int
) -> None:
    # An older API counted revisions per server.
    with fleet.store.begin() as transaction:
        transaction.servers.configure([nyc_web], 41, resync=False)

    assert put_on_selector(NYC, "a", "{}").revision == 42
    assert put(nyc_web, "b", "{}").revision == 43

    with fleet.store.begin() as transaction:
        transaction.servers.configure([nyc_web], 50, resync=False)

    assert put(nyc_web, "b", "{}").revision == 51


def test_a_new_server_gets_the_documents_for_servers_without_a_label(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration, fetch: FetchConfiguration
) -> None:
    motd = put_on_selector(LACKS_A_TIER, "motd", "{}")
    registered = fleet.register(Registration("new"))
    created = fleet.create("created", "")

    assert registered.config_revision > 0
    assert created == fleet.get(created.server_id)
    assert created.config_revision > 0
    assert fetch(registered.server.server_id, "", 0).changed == [motd]


@pytest.mark.parametrize(
    ("name", "document", "field"),
    [("../x", "{}", "name"), ("x", "{", "document")],
)
def test_an_invalid_document_is_refused_and_takes_no_revision(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    nyc_web: int,
    name: str,
    document: str,
    field: str,
) -> None:
    with pytest.raises(InvalidField) as refused:
        put_on_selector(NYC, name, document)

    assert refused.value.field == field
    assert fleet.get(nyc_web).config_revision == 0
