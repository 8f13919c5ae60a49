"""Which documents a host gets: its own, those of selectors, and what labels change."""

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from domain.configuration import Configuration, ConfigurationChanges
from domain.labels import parse_selector
from tests.support.builders import NOW
from tests.support.configured import GOLD_IN_NYC, LACKS_A_TIER, NYC, configured, effective
from tests.support.fleet import OPEN, Fleet


def test_a_host_fetches_its_own_documents_and_those_of_selectors_by_revision(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    motd = put_on_selector(NYC, "motd", "1")
    limits = put(nyc_web, "limits", "2")
    put_on_selector(parse_selector("region=ams"), "other", "3")
    ports = put_on_selector(LACKS_A_TIER, "ports", "4")

    changes = fetch(nyc_web, "", 0)

    assert changes == ConfigurationChanges(
        [motd, limits, ports], ["limits", "motd", "ports"], 4, more=False
    )
    assert fetch(nyc_web, "", 1).changed == [limits, ports]


def test_a_document_hidden_by_the_servers_own_is_sent_although_it_is_older(
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    delete: DeleteConfiguration,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    hidden = put_on_selector(NYC, "motd", "1")
    put(nyc_web, "motd", "2")
    known = fetch(nyc_web, "", 0).revision
    delete(nyc_web, "motd")

    assert fetch(nyc_web, "", known) == ConfigurationChanges([hidden], ["motd"], 3, more=False)
    # Once the host has it, it is not sent again.
    assert fetch(nyc_web, "", 3).changed == []


def test_a_new_label_brings_documents_older_than_the_hosts_revision(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    label: LabelServer,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    of_gold = put_on_selector(GOLD_IN_NYC, "motd", "1")
    put(nyc_web, "limits", "2")
    label(nyc_web, {"tier": "gold"})
    changes = fetch(nyc_web, "", 2)

    assert of_gold in changes.changed
    assert changes.names == ["limits", "motd"]
    assert changes.revision == fleet.get(nyc_web).config_revision > 2
    assert configured(fleet, nyc_web)[-1] == "its labels changed, so other documents apply to it"

    label(nyc_web, {}, ["tier"])

    assert fetch(nyc_web, "", changes.revision).changed == []
    assert fetch(nyc_web, "", changes.revision).names == ["limits"]


def test_a_hosts_labels_bring_documents_and_their_removal_takes_them_away(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration, put: PutConfiguration, nyc_web: int
) -> None:
    put_on_selector(GOLD_IN_NYC, "motd", "1")
    put(nyc_web, "limits", "2")
    first = fleet.register(Registration("web", labels={"region": "nyc", "tier": "gold"}))

    assert first.config_revision > 2
    assert effective(fleet, nyc_web) == [("limits", None), ("motd", GOLD_IN_NYC)]

    again = fleet.register(Registration("web", labels={"region": "nyc", "tier": "gold"}))

    assert again.config_revision == first.config_revision

    last = fleet.register(Registration("web", labels={"region": "nyc"}))

    assert last.config_revision > first.config_revision
    assert effective(fleet, nyc_web) == [("limits", None)]


def test_labels_that_change_no_document_change_no_revision(
    fleet: Fleet, put_on_selector: PutSelectorConfiguration, label: LabelServer, nyc_web: int
) -> None:
    put_on_selector(NYC, "motd", "{}")
    label(nyc_web, {"rack": "7"})

    assert fleet.get(nyc_web).config_revision == 1


def test_a_later_change_is_newer_than_the_documents_that_labels_brought(
    put_on_selector: PutSelectorConfiguration,
    label: LabelServer,
    fetch: FetchConfiguration,
    nyc_web: int,
) -> None:
    put_on_selector(parse_selector("region=ams"), "motd", "0")
    put_on_selector(GOLD_IN_NYC, "motd", "1")
    label(nyc_web, {"tier": "gold"})
    known = fetch(nyc_web, "", 0).revision
    later = put_on_selector(NYC, "limits", "2")

    assert fetch(nyc_web, "", known).changed == [later]


def test_a_resync_is_sent_in_parts(
    fleet: Fleet,
    put_on_selector: PutSelectorConfiguration,
    put: PutConfiguration,
    label: LabelServer,
    nyc_web: int,
) -> None:
    fetch = FetchConfiguration(fleet.store, fleet.clock, OPEN, max_response_bytes=1)
    of_gold = put_on_selector(GOLD_IN_NYC, "motd", "1")
    own = [put(nyc_web, f"x{number}", "{}") for number in range(3)]
    label(nyc_web, {"tier": "gold"})
    parts = [fetch(nyc_web, "", 4)]
    while parts[-1].more:
        parts.append(fetch(nyc_web, "", 4, parts[-1].revision))

    assert [found for part in parts for found in part.changed] == [of_gold, *own]
    assert parts[-1].revision == fleet.get(nyc_web).config_revision


def test_documents_of_one_revision_are_in_one_answer(fleet: Fleet, nyc_web: int) -> None:
    # An API without the configuration clock could assign a revision twice.
    with fleet.store.begin() as transaction:
        for name in ("a", "b"):
            transaction.configurations.put(nyc_web, Configuration(name, "{}", 7, NOW))
        transaction.configurations.put(nyc_web, Configuration("c", "{}", 8, NOW))
        transaction.servers.configure([nyc_web], 8, resync=False)
    fetch = FetchConfiguration(fleet.store, fleet.clock, OPEN, max_response_bytes=1)
    first = fetch(nyc_web, "", 0)

    assert [found.name for found in first.changed] == ["a", "b"]
    assert first.more
    assert [found.name for found in fetch(nyc_web, "", 0, first.revision).changed] == ["c"]
