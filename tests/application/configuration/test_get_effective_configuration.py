import pytest

from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from domain.errors import ServerNotFound
from domain.labels import parse_selector
from tests.support.configured import GOLD_IN_NYC, NYC, effective, register
from tests.support.fleet import Fleet


def test_a_servers_own_document_hides_a_selectors_and_a_specific_one_a_general_one(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration, put: PutConfiguration
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    put_on_selector(GOLD_IN_NYC, "motd", "{}")
    put_on_selector(NYC, "motd", "{}")
    put_on_selector(NYC, "limits", "{}")
    put(gold, "limits", "{}")

    assert effective(fleet, gold) == [("limits", None), ("motd", GOLD_IN_NYC)]


def test_among_equally_specific_selectors_the_one_put_last_wins(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    tier = parse_selector("tier=gold")
    put_on_selector(NYC, "motd", "{}")
    put_on_selector(tier, "motd", "{}")

    assert effective(fleet, gold) == [("motd", tier)]

    put_on_selector(NYC, "motd", "{}")

    assert effective(fleet, gold) == [("motd", NYC)]


def test_an_unknown_server_has_no_effective_configuration(fleet: Fleet) -> None:
    with pytest.raises(ServerNotFound):
        GetEffectiveConfiguration(fleet.store)(4711)
