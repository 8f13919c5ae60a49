import pytest

from application.configuration.get_selector_configuration import GetSelectorConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.errors import InvalidField, SelectorConfigurationNotFound
from tests.support.configured import GOLD_IN_NYC, NYC
from tests.support.fleet import Fleet


def test_a_missing_document_cannot_be_read(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration
) -> None:
    put_on_selector(NYC, "motd", "{}")
    get = GetSelectorConfiguration(fleet.store)

    with pytest.raises(SelectorConfigurationNotFound) as missing:
        get(NYC, "limits")
    assert (missing.value.selector, missing.value.name) == ("region=nyc", "limits")
    with pytest.raises(SelectorConfigurationNotFound):
        get(GOLD_IN_NYC, "motd")


def test_an_invalid_name_is_refused(fleet: Fleet) -> None:
    with pytest.raises(InvalidField):
        GetSelectorConfiguration(fleet.store)(NYC, "A" * 1000)
