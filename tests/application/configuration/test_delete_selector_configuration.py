import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.configuration import ConfigurationChanges
from domain.errors import InvalidField, SelectorConfigurationNotFound
from tests.support.configured import GOLD_IN_NYC, NYC, register
from tests.support.fleet import Fleet


def test_a_document_hidden_by_a_more_specific_one_is_sent_although_it_is_older(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    delete_from_selector: DeleteSelectorConfiguration,
    fetch: FetchConfiguration,
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    hidden = put_on_selector(NYC, "motd", "1")
    put_on_selector(GOLD_IN_NYC, "motd", "2")
    delete_from_selector(GOLD_IN_NYC, "motd")

    assert fetch(gold, "", 2) == ConfigurationChanges([hidden], ["motd"], 3, more=False)


def test_deleting_a_document_that_hides_none_does_not_resend_the_others(
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    delete_from_selector: DeleteSelectorConfiguration,
    delete: DeleteConfiguration,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    put_on_selector(NYC, "motd", "{}")
    put(nyc_web, "limits", "{}")
    put_on_selector(NYC, "ports", "{}")
    delete_from_selector(NYC, "motd")
    delete(nyc_web, "limits")

    assert fetch(nyc_web, "", 3) == ConfigurationChanges([], ["ports"], 5, more=False)


def test_a_missing_document_cannot_be_deleted_and_takes_no_revision(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    delete_from_selector: DeleteSelectorConfiguration,
    nyc_web: int,
) -> None:
    put_on_selector(NYC, "motd", "{}")

    with pytest.raises(SelectorConfigurationNotFound) as missing:
        delete_from_selector(NYC, "limits")
    assert (missing.value.selector, missing.value.name) == ("region=nyc", "limits")
    with pytest.raises(SelectorConfigurationNotFound):
        delete_from_selector(GOLD_IN_NYC, "motd")
    assert fleet.get(nyc_web).config_revision == 1


def test_an_invalid_name_is_refused(delete_from_selector: DeleteSelectorConfiguration) -> None:
    with pytest.raises(InvalidField):
        delete_from_selector(NYC, "A" * 1000)
