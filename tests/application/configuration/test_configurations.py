import json
from dataclasses import replace

import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_configuration import GetConfiguration
from application.configuration.list_configurations import ListConfigurations
from application.configuration.put_configuration import PutConfiguration
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from application.registration.register_server import Registration
from domain.approval import Approval
from domain.configuration import (
    MAX_DOCUMENT_BYTES,
    Configuration,
    ConfigurationChanges,
    ConfigurationSummary,
)
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    ConfigurationNotFound,
    InvalidField,
    InvalidRegistrationKey,
    NotAdmitted,
    ServerNotFound,
)
from domain.registration_rules import RegistrationRules
from tests.support.builders import INTERVAL, NOW, SECOND
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN, Fleet, admitting_keys


@pytest.fixture
def put(fleet: Fleet) -> PutConfiguration:
    return PutConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def get(fleet: Fleet) -> GetConfiguration:
    return GetConfiguration(fleet.store)


@pytest.fixture
def summaries(fleet: Fleet) -> ListConfigurations:
    return ListConfigurations(fleet.store)


@pytest.fixture
def delete(fleet: Fleet) -> DeleteConfiguration:
    return DeleteConfiguration(fleet.store, fleet.clock)


@pytest.fixture
def fetch(fleet: Fleet) -> FetchConfiguration:
    return FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)


@pytest.fixture
def web(fleet: Fleet) -> int:
    return fleet.register(Registration("web")).server.server_id


def test_a_document_is_kept_to_the_byte(
    put: PutConfiguration, get: GetConfiguration, web: int
) -> None:
    document = ' {"motd":  "Grüße",\n"slots": 1.50}\r\n'

    assert put(web, "valheim", document) == Configuration("valheim", document, 1, NOW)
    assert get(web, "valheim") == Configuration("valheim", document, 1, NOW)


def test_each_change_has_a_revision_of_its_own(
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


def test_a_host_is_told_the_revision_by_its_heartbeat_and_when_it_joins(
    fleet: Fleet, put: PutConfiguration, web: int
) -> None:
    put(web, "valheim", "{}")

    assert fleet.heartbeat([Heartbeat(web)]) == [Acknowledged(1, INTERVAL)]
    assert fleet.register(Registration("web")).server.config_revision == 1


@pytest.mark.parametrize(
    ("name", "document", "field"),
    [("../x", "{}", "name"), ("", "{}", "name"), ("x", "{", "document"), ("x", "", "document")],
)
def test_what_is_against_the_rules_is_refused_and_counts_for_nothing(
    fleet: Fleet, put: PutConfiguration, web: int, name: str, document: str, field: str
) -> None:
    with pytest.raises(InvalidField) as refused:
        put(web, name, document)

    assert refused.value.field == field
    assert fleet.get(web).config_revision == 0


def test_a_document_that_is_not_there_cannot_be_read_or_deleted(
    fleet: Fleet, get: GetConfiguration, delete: DeleteConfiguration, web: int
) -> None:
    for call in (get, delete):
        with pytest.raises(ConfigurationNotFound) as missing:
            call(web, "valheim")
        assert (missing.value.server_id, missing.value.name) == (web, "valheim")
    assert fleet.get(web).config_revision == 0


@pytest.mark.parametrize("name", ["", "a\x00", "A" * 1000])
def test_a_name_that_no_document_can_have_is_refused(
    get: GetConfiguration, delete: DeleteConfiguration, web: int, name: str
) -> None:
    for call in (get, delete):
        with pytest.raises(InvalidField):
            call(web, name)


def test_an_unknown_server_has_no_configuration(
    put: PutConfiguration,
    get: GetConfiguration,
    summaries: ListConfigurations,
    delete: DeleteConfiguration,
    fetch: FetchConfiguration,
) -> None:
    with pytest.raises(ServerNotFound):
        put(4711, "valheim", "{}")
    with pytest.raises(ServerNotFound):
        get(4711, "valheim")
    with pytest.raises(ServerNotFound):
        summaries(4711)
    with pytest.raises(ServerNotFound):
        delete(4711, "valheim")
    with pytest.raises(ServerNotFound):
        fetch(4711, "", 0)


def test_a_host_fetches_what_changed_oldest_first_and_the_names_of_all(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    put(web, "a", "1")
    b = put(web, "b", "2")
    c = put(web, "c", "3")
    a = put(web, "a", "4")

    assert fetch(web, "", 0) == ConfigurationChanges([b, c, a], ["a", "b", "c"], 4, more=False)
    assert fetch(web, "", 1) == ConfigurationChanges([b, c, a], ["a", "b", "c"], 4, more=False)
    assert fetch(web, "", 3) == ConfigurationChanges([a], ["a", "b", "c"], 4, more=False)
    assert fetch(web, "", 4) == ConfigurationChanges([], ["a", "b", "c"], 4, more=False)


def test_a_host_learns_of_a_deleted_document_by_the_names(
    put: PutConfiguration, delete: DeleteConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    put(web, "a", "1")
    put(web, "b", "2")
    delete(web, "a")

    assert fetch(web, "", 2) == ConfigurationChanges([], ["b"], 3, more=False)


def test_a_server_without_configuration_has_revision_zero(
    fetch: FetchConfiguration, web: int
) -> None:
    assert fetch(web, "", 0) == ConfigurationChanges([], [], 0, more=False)


def test_much_configuration_is_fetched_in_pages_that_stay_small(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    # Counted in characters each would be a third of what it is.
    large = json.dumps("€" * (MAX_DOCUMENT_BYTES // 3 - 1), ensure_ascii=False)
    documents = [put(web, f"x{n}", large) for n in range(10)]
    pages = [fetch(web, "", 0)]
    while pages[-1].more:
        pages.append(fetch(web, "", pages[-1].revision))

    assert [found for page in pages for found in page.changed] == documents
    assert [len(page.changed) for page in pages] == [5, 5]
    assert {len(page.names) for page in pages} == {10}
    assert pages[-1].revision == 10


def test_changes_between_two_pages_are_not_missed(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    large = json.dumps("x" * (MAX_DOCUMENT_BYTES - 2))
    for n in range(6):
        put(web, f"x{n}", large)
    first = fetch(web, "", 0)
    again, last = put(web, "x0", "1"), put(web, "x5", "2")
    second = fetch(web, "", first.revision)

    assert first.more
    assert second.changed[-2:] == [again, last]
    assert second.revision == 8


def test_a_host_that_knows_more_than_a_restored_store_fetches_everything(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    a = put(web, "a", "1")

    assert fetch(web, "", 2) == ConfigurationChanges([a], ["a"], 1, more=False)
    assert fetch(web, "", 2**63 - 1) == ConfigurationChanges([a], ["a"], 1, more=False)
    assert fetch(web, "", -1) == ConfigurationChanges([a], ["a"], 1, more=False)


def test_a_host_needs_the_registration_key_before_anything_else(
    fleet: Fleet, put: PutConfiguration, web: int
) -> None:
    key = canary("registration key")
    fetch = FetchConfiguration(fleet.store, fleet.clock, admitting_keys(key))
    put(web, "a", "1")

    for server_id in (web, 4711):
        with pytest.raises(InvalidRegistrationKey):
            fetch(server_id, key.upper(), 0)
    assert len(fetch(web, key, 0).changed) == 1


def decide(fleet: Fleet, server_id: int, approval: Approval) -> None:
    with fleet.store.begin() as transaction:
        server = transaction.servers.get(server_id, lock=True)
        transaction.servers.save(replace(server, approval=approval))


def fetch_with(fleet: Fleet, switch: Switch, mode: Mode) -> FetchConfiguration:
    rules = RegistrationRules(enforcement=Enforcement({switch: mode}))
    return FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN, rules=rules)


def dry_run_refusals(fleet: Fleet) -> list[tuple[Switch, int, str]]:
    with fleet.store.begin() as transaction:
        return [
            (entry.switch, entry.server_id, entry.reason)
            for entry in transaction.dry_run_refusals.page(0, 10)
        ]


def test_a_server_that_waits_for_an_operator_has_nothing_to_read_and_then_everything(
    fleet: Fleet, put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    a = put(web, "a", "1")
    decide(fleet, web, Approval.PENDING)

    for known in (0, 1, 2**40):
        assert fetch(web, "", known) == ConfigurationChanges([], [], 0, more=False)

    decide(fleet, web, Approval.APPROVED)

    assert fetch(web, "", 0) == ConfigurationChanges([a], ["a"], 1, more=False)


def test_with_the_approval_switch_on_warn_a_waiting_server_reads_all_and_that_is_noted(
    fleet: Fleet, put: PutConfiguration, web: int
) -> None:
    a = put(web, "a", "1")
    decide(fleet, web, Approval.PENDING)

    assert fetch_with(fleet, Switch.APPROVAL, Mode.OFF)(web, "", 0).changed == [a]
    assert dry_run_refusals(fleet) == []

    assert fetch_with(fleet, Switch.APPROVAL, Mode.WARN)(web, "", 0).changed == [a]
    assert dry_run_refusals(fleet) == [
        (Switch.APPROVAL, web, f"server {web} is pending: approve it first")
    ]


@pytest.mark.parametrize("approval", [Approval.REJECTED, Approval.BANNED])
def test_a_server_that_an_operator_refuses_reads_nothing_and_is_told_so(
    fleet: Fleet,
    put: PutConfiguration,
    fetch: FetchConfiguration,
    web: int,
    approval: Approval,
) -> None:
    a = put(web, "a", "1")
    decide(fleet, web, approval)

    with pytest.raises(NotAdmitted):
        fetch(web, "", 0)

    assert fetch_with(fleet, Switch.BAN, Mode.WARN)(web, "", 0).changed == [a]
    assert [noted[:2] for noted in dry_run_refusals(fleet)] == [(Switch.BAN, web)]
