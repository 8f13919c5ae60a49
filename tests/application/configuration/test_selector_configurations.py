import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.delete_selector_configuration import DeleteSelectorConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.get_selector_configuration import GetSelectorConfiguration
from application.configuration.list_selector_configurations import ListSelectorConfigurations
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_configuration import PutConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.ports.store.store import StoreUnavailable
from application.registration.register_server import Registration
from application.servers.label_server import LabelServer
from domain.configuration import Configuration, ConfigurationChanges, ConfigurationSummary
from domain.errors import InvalidField, SelectorConfigurationNotFound, ServerNotFound
from domain.events import EventKind
from domain.labels import Selector, parse_selector
from tests.support.builders import NOW
from tests.support.fleet import OPEN, Fleet

NYC = parse_selector("region=nyc")
GOLD_IN_NYC = parse_selector("region=nyc,tier=gold")
LACKS_A_TIER = parse_selector("!tier")


@pytest.fixture
def put(fleet: Fleet) -> PutSelectorConfiguration:
    return PutSelectorConfiguration(
        fleet.store, fleet.clock, PropagateConfiguration(fleet.store, fleet.clock)
    )


@pytest.fixture
def put_own(fleet: Fleet) -> PutConfiguration:
    return PutConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def delete(fleet: Fleet) -> DeleteSelectorConfiguration:
    return DeleteSelectorConfiguration(
        fleet.store, PropagateConfiguration(fleet.store, fleet.clock)
    )


@pytest.fixture
def delete_own(fleet: Fleet) -> DeleteConfiguration:
    return DeleteConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def label(fleet: Fleet) -> LabelServer:
    return LabelServer(fleet.store, fleet.clock)


@pytest.fixture
def fetch(fleet: Fleet) -> FetchConfiguration:
    return FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)


def register(fleet: Fleet, name: str, **labels: str) -> int:
    return fleet.register(Registration(name, labels=labels)).server.server_id


@pytest.fixture
def web(fleet: Fleet) -> int:
    return register(fleet, "web", region="nyc")


def effective(fleet: Fleet, server_id: int) -> list[tuple[str, Selector | None]]:
    found = GetEffectiveConfiguration(fleet.store)(server_id)
    return [(summary.name, summary.selector) for summary in found]


def configured(fleet: Fleet, server_id: int) -> list[str]:
    """The causes of what was told of its configuration, oldest first."""
    with fleet.store.begin() as transaction:
        return [
            entry.cause
            for entry in transaction.history.of(server_id)
            if entry.kind is EventKind.CONFIGURED
        ]


def test_a_document_on_a_selector_is_kept_to_the_byte(
    fleet: Fleet, put: PutSelectorConfiguration
) -> None:
    document = ' {"motd":  "Grüße"}\r\n'
    configuration = put(NYC, "motd", document)

    assert configuration == Configuration("motd", document, 1, NOW, NYC)
    assert GetSelectorConfiguration(fleet.store)(NYC, "motd") == configuration
    assert ListSelectorConfigurations(fleet.store)() == [ConfigurationSummary("motd", 1, NOW, NYC)]


def test_every_server_that_is_selected_is_told_of_a_change_and_no_other(
    fleet: Fleet, put: PutSelectorConfiguration, delete: DeleteSelectorConfiguration, web: int
) -> None:
    other, elsewhere = register(fleet, "db", region="nyc"), register(fleet, "far", region="ams")
    put(NYC, "motd", "{}")
    delete(NYC, "motd")

    assert fleet.get(web).config_revision == fleet.get(other).config_revision == 2
    assert fleet.get(elsewhere).config_revision == 0
    assert configured(fleet, web) == [
        "an operator put the document motd on the selector region=nyc",
        "an operator deleted the document motd of the selector region=nyc",
    ]
    assert configured(fleet, elsewhere) == []


def test_all_changes_of_configuration_have_one_growing_revision(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    web: int,
) -> None:
    elsewhere = register(fleet, "far", region="ams")
    revisions = [
        put(NYC, "a", "{}").revision,
        put_own(elsewhere, "a", "{}").revision,
        put_own(web, "a", "{}").revision,
        put(NYC, "a", "{}").revision,
    ]

    assert revisions == [1, 2, 3, 4]
    assert (fleet.get(web).config_revision, fleet.get(elsewhere).config_revision) == (4, 2)


def test_a_revision_is_higher_than_that_of_a_server_which_an_older_api_configured(
    fleet: Fleet, put: PutSelectorConfiguration, put_own: PutConfiguration, web: int
) -> None:
    # It counted for each server alone.
    with fleet.store.begin() as transaction:
        transaction.servers.configure([web], 41, resync=False)

    assert put(NYC, "a", "{}").revision == 42
    assert put_own(web, "b", "{}").revision == 43

    with fleet.store.begin() as transaction:
        transaction.servers.configure([web], 50, resync=False)

    assert put_own(web, "b", "{}").revision == 51


def test_a_host_fetches_its_own_documents_and_those_of_the_selectors_by_revision(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    fetch: FetchConfiguration,
    web: int,
) -> None:
    motd = put(NYC, "motd", "1")
    limits = put_own(web, "limits", "2")
    put(parse_selector("region=ams"), "other", "3")
    ports = put(LACKS_A_TIER, "ports", "4")

    changes = fetch(web, "", 0)

    assert changes == ConfigurationChanges(
        [motd, limits, ports], ["limits", "motd", "ports"], 4, more=False
    )
    assert fetch(web, "", 1).changed == [limits, ports]


def test_its_own_document_hides_those_of_selectors_and_a_specific_one_a_general_one(
    fleet: Fleet, put: PutSelectorConfiguration, put_own: PutConfiguration
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    put(GOLD_IN_NYC, "motd", "{}")
    put(NYC, "motd", "{}")
    put(NYC, "limits", "{}")
    put_own(gold, "limits", "{}")

    assert effective(fleet, gold) == [("limits", None), ("motd", GOLD_IN_NYC)]


def test_of_equally_specific_selectors_the_one_that_was_put_last_wins(
    fleet: Fleet, put: PutSelectorConfiguration
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    tier = parse_selector("tier=gold")
    put(NYC, "motd", "{}")
    put(tier, "motd", "{}")

    assert effective(fleet, gold) == [("motd", tier)]

    put(NYC, "motd", "{}")

    assert effective(fleet, gold) == [("motd", NYC)]


def test_a_document_that_was_hidden_by_the_servers_own_is_sent_although_it_is_older(
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    delete_own: DeleteConfiguration,
    fetch: FetchConfiguration,
    web: int,
) -> None:
    hidden = put(NYC, "motd", "1")
    put_own(web, "motd", "2")
    known = fetch(web, "", 0).revision
    delete_own(web, "motd")

    assert fetch(web, "", known) == ConfigurationChanges([hidden], ["motd"], 3, more=False)
    # And once it has that, it is sent no more.
    assert fetch(web, "", 3).changed == []


def test_a_document_that_was_hidden_by_a_more_specific_one_is_sent_although_it_is_older(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    delete: DeleteSelectorConfiguration,
    fetch: FetchConfiguration,
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    hidden = put(NYC, "motd", "1")
    put(GOLD_IN_NYC, "motd", "2")
    delete(GOLD_IN_NYC, "motd")

    assert fetch(gold, "", 2) == ConfigurationChanges([hidden], ["motd"], 3, more=False)


def test_what_hides_nothing_is_taken_away_without_sending_all_the_rest(
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    delete: DeleteSelectorConfiguration,
    delete_own: DeleteConfiguration,
    fetch: FetchConfiguration,
    web: int,
) -> None:
    put(NYC, "motd", "{}")
    put_own(web, "limits", "{}")
    put(NYC, "ports", "{}")
    delete(NYC, "motd")
    delete_own(web, "limits")

    assert fetch(web, "", 3) == ConfigurationChanges([], ["ports"], 5, more=False)


def test_a_label_brings_documents_that_are_older_than_what_the_host_knows(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    label: LabelServer,
    fetch: FetchConfiguration,
    web: int,
) -> None:
    of_gold = put(GOLD_IN_NYC, "motd", "1")
    put_own(web, "limits", "2")
    label(web, {"tier": "gold"})
    changes = fetch(web, "", 2)

    assert of_gold in changes.changed
    assert changes.names == ["limits", "motd"]
    assert changes.revision == fleet.get(web).config_revision > 2
    assert configured(fleet, web)[-1] == "its labels changed, so other documents apply to it"

    label(web, {}, ["tier"])

    assert fetch(web, "", changes.revision).changed == []
    assert fetch(web, "", changes.revision).names == ["limits"]


def test_a_host_brings_documents_with_its_labels_and_loses_them_with_them(
    fleet: Fleet, put: PutSelectorConfiguration, put_own: PutConfiguration, web: int
) -> None:
    put(GOLD_IN_NYC, "motd", "1")
    put_own(web, "limits", "2")
    first = fleet.register(Registration("web", labels={"region": "nyc", "tier": "gold"}))

    assert first.config_revision > 2
    assert effective(fleet, web) == [("limits", None), ("motd", GOLD_IN_NYC)]

    again = fleet.register(Registration("web", labels={"region": "nyc", "tier": "gold"}))

    assert again.config_revision == first.config_revision

    last = fleet.register(Registration("web", labels={"region": "nyc"}))

    assert last.config_revision > first.config_revision
    assert effective(fleet, web) == [("limits", None)]


def test_labels_that_change_no_document_change_no_revision(
    fleet: Fleet, put: PutSelectorConfiguration, label: LabelServer, web: int
) -> None:
    put(NYC, "motd", "{}")
    label(web, {"rack": "7"})

    assert fleet.get(web).config_revision == 1


def test_a_new_server_is_told_of_what_is_for_those_without_a_label(
    fleet: Fleet, put: PutSelectorConfiguration, fetch: FetchConfiguration
) -> None:
    motd = put(LACKS_A_TIER, "motd", "{}")
    registered = fleet.register(Registration("new"))
    created = fleet.create("made", "")

    assert registered.config_revision > 0
    assert created == fleet.get(created.server_id)
    assert created.config_revision > 0
    assert fetch(registered.server.server_id, "", 0).changed == [motd]


def test_a_later_change_is_newer_than_what_labels_brought(
    put: PutSelectorConfiguration, label: LabelServer, fetch: FetchConfiguration, web: int
) -> None:
    put(parse_selector("region=ams"), "motd", "0")
    put(GOLD_IN_NYC, "motd", "1")
    label(web, {"tier": "gold"})
    known = fetch(web, "", 0).revision
    later = put(NYC, "limits", "2")

    assert fetch(web, "", known).changed == [later]


def test_everything_is_sent_in_parts_to_a_host_that_knows_too_little(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    label: LabelServer,
    web: int,
) -> None:
    fetch = FetchConfiguration(fleet.store, fleet.clock, OPEN, max_response_bytes=1)
    of_gold = put(GOLD_IN_NYC, "motd", "1")
    own = [put_own(web, f"x{number}", "{}") for number in range(3)]
    label(web, {"tier": "gold"})
    parts = [fetch(web, "", 4)]
    while parts[-1].more:
        parts.append(fetch(web, "", 4, parts[-1].revision))

    assert [found for part in parts for found in part.changed] == [of_gold, *own]
    assert parts[-1].revision == fleet.get(web).config_revision


def test_documents_of_one_revision_are_in_one_answer(fleet: Fleet, web: int) -> None:
    # An API that is older than the clock could give one twice.
    with fleet.store.begin() as transaction:
        for name in ("a", "b"):
            transaction.configurations.put(web, Configuration(name, "{}", 7, NOW))
        transaction.configurations.put(web, Configuration("c", "{}", 8, NOW))
        transaction.servers.configure([web], 8, resync=False)
    fetch = FetchConfiguration(fleet.store, fleet.clock, OPEN, max_response_bytes=1)
    first = fetch(web, "", 0)

    assert [found.name for found in first.changed] == ["a", "b"]
    assert first.more
    assert [found.name for found in fetch(web, "", 0, first.revision).changed] == ["c"]


@pytest.mark.parametrize(
    ("name", "document", "field"),
    [("../x", "{}", "name"), ("x", "{", "document")],
)
def test_what_is_against_the_rules_is_refused_and_counts_for_nothing(
    fleet: Fleet, put: PutSelectorConfiguration, web: int, name: str, document: str, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        put(NYC, name, document)

    assert refused.value.field == field
    assert fleet.get(web).config_revision == 0


def test_a_document_that_is_not_there_cannot_be_read_or_deleted(
    fleet: Fleet, put: PutSelectorConfiguration, delete: DeleteSelectorConfiguration, web: int
) -> None:
    put(NYC, "motd", "{}")
    for call in (GetSelectorConfiguration(fleet.store), delete):
        with pytest.raises(SelectorConfigurationNotFound) as missing:
            call(NYC, "limits")
        assert (missing.value.selector, missing.value.name) == ("region=nyc", "limits")
        with pytest.raises(SelectorConfigurationNotFound):
            call(GOLD_IN_NYC, "motd")
        with pytest.raises(InvalidField):
            call(NYC, "A" * 1000)
    assert fleet.get(web).config_revision == 1


def test_an_unknown_server_has_no_effective_configuration(fleet: Fleet) -> None:
    with pytest.raises(ServerNotFound):
        GetEffectiveConfiguration(fleet.store)(4711)


def away() -> bool:
    raise StoreUnavailable


def test_a_change_that_could_not_be_told_to_all_is_done_later(fleet: Fleet, web: int) -> None:
    ids = [web, *(register(fleet, f"nyc-{number}", region="nyc") for number in range(4))]
    put = PutSelectorConfiguration(fleet.store, fleet.clock, away)
    revision = put(NYC, "motd", "{}").revision

    assert [fleet.get(server_id).config_revision for server_id in ids] == [0] * 5

    propagate = PropagateConfiguration(fleet.store, fleet.clock, batch_size=2)
    told = []
    while propagate():
        told.append([bool(fleet.get(server_id).config_revision) for server_id in ids].count(True))

    assert told == [2, 4, 5]
    assert {fleet.get(server_id).config_revision for server_id in ids} == {revision}
    assert {len(configured(fleet, server_id)) for server_id in ids} == {1}


def test_who_is_selected_no_more_while_a_change_is_told_learns_of_it_nevertheless(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    label: LabelServer,
    fetch: FetchConfiguration,
    web: int,
) -> None:
    put(NYC, "motd", "{}")
    known = fleet.get(web).config_revision
    DeleteSelectorConfiguration(fleet.store, away)(NYC, "motd")
    # By these labels nothing changes: the document is gone already.
    label(web, {"region": "ams"})

    assert fleet.get(web).config_revision > known
    assert fetch(web, "", known).names == []


def test_who_was_configured_otherwise_while_a_change_is_told_is_sent_what_is_older_too(
    fleet: Fleet,
    put: PutSelectorConfiguration,
    put_own: PutConfiguration,
    fetch: FetchConfiguration,
) -> None:
    gold = register(fleet, "gold", region="nyc", tier="gold")
    hidden = put(NYC, "motd", "1")
    put(GOLD_IN_NYC, "motd", "2")
    DeleteSelectorConfiguration(fleet.store, away)(GOLD_IN_NYC, "motd")
    put_own(gold, "limits", "3")
    known = fetch(gold, "", 2).revision
    PropagateConfiguration(fleet.store, fleet.clock)()

    assert fleet.get(gold).config_revision > known
    assert hidden in fetch(gold, "", known).changed
