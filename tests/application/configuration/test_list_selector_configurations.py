from application.configuration.list_selector_configurations import ListSelectorConfigurations
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.configuration import ConfigurationSummary
from tests.support.builders import NOW
from tests.support.configured import GOLD_IN_NYC, LACKS_A_TIER, NYC
from tests.support.fleet import Fleet


def test_documents_are_listed_by_selector_and_name_without_their_text(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration
) -> None:
    for selector, name in ((NYC, "motd"), (GOLD_IN_NYC, "a"), (LACKS_A_TIER, "b"), (NYC, "limits")):
        put_on_selector(selector, name, "{}")

    assert ListSelectorConfigurations(fleet.store)() == [
        ConfigurationSummary("b", 3, NOW, LACKS_A_TIER),
        ConfigurationSummary("limits", 4, NOW, NYC),
        ConfigurationSummary("motd", 1, NOW, NYC),
        ConfigurationSummary("a", 2, NOW, GOLD_IN_NYC),
    ]


def test_without_documents_the_list_is_empty(fleet: Fleet) -> None:
    assert ListSelectorConfigurations(fleet.store)() == []
