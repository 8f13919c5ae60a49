from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.ports.store.store import StoreUnavailable
from application.servers.label_server import LabelServer
from tests.support.configured import GOLD_IN_NYC, NYC, configured, register
from tests.support.fleet import Fleet


def away() -> bool:
    raise StoreUnavailable


def test_a_change_that_did_not_reach_all_servers_is_propagated_later_in_batches(
    fleet: Fleet, nyc_web: int
) -> None:
    ids = [nyc_web, *(register(fleet, f"nyc-{number}", region="nyc") for number in range(4))]
    put = PutSelectorConfiguration(fleet.store, fleet.clock, away)
    revision = put(NYC, "motd", "{}").revision

    assert [fleet.get(server_id).config_revision for server_id in ids] == [0] * 5

    propagate = PropagateConfiguration(fleet.store, fleet.clock, batch_size=2)
    reached = []
    while propagate():
        configured_ids = [each for each in ids if fleet.get(each).config_revision]
        reached.append(len(configured_ids))

    assert reached == [2, 4, 5]
    assert {fleet.get(server_id).config_revision for server_id in ids} == {revision}
    assert {len(configured(fleet, server_id)) for server_id in ids} == {1}


def test_a_server_that_leaves_the_selector_meanwhile_still_learns_of_the_change(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    label: LabelServer,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    put_on_selector(NYC, "motd", "{}")
    known = fleet.get(nyc_web).config_revision
    DeleteSelectorConfiguration(fleet.store, away)(NYC, "motd")
    # The labels themselves change nothing, because the document is already gone.
    label(nyc_web, {"region": "ams"})

    assert fleet.get(nyc_web).config_revision > known
    assert fetch(nyc_web, "", known).names == []


def test_a_server_that_is_configured_meanwhile_is_sent_older_documents_too(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    fetch: FetchConfiguration,
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    hidden = put_on_selector(NYC, "motd", "1")
    put_on_selector(GOLD_IN_NYC, "motd", "2")
    DeleteSelectorConfiguration(fleet.store, away)(GOLD_IN_NYC, "motd")
    put(gold, "limits", "3")
    known = fetch(gold, "", 2).revision
    PropagateConfiguration(fleet.store, fleet.clock)()

    assert fleet.get(gold).config_revision > known
    assert hidden in fetch(gold, "", known).changed
