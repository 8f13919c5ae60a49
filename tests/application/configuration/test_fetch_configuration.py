import json
from dataclasses import replace

import pytest

from application.configuration.delete_configuration import DeleteConfiguration
from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.put_configuration import PutConfiguration
from domain.approval import Approval
from domain.configuration import (
    MAX_DOCUMENT_BYTES,
    ConfigurationChanges,
)
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    InvalidRegistrationKey,
    NotAdmitted,
    ServerNotFound,
)
from domain.registration_rules import RegistrationRules
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN, Fleet, admitting_keys


def test_a_host_fetches_the_changes_oldest_first_and_all_names(
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


def test_a_host_learns_of_a_deleted_document_from_the_names(
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


def test_a_large_configuration_is_fetched_in_small_parts(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    # Three bytes per character: the limit counts bytes.
    large = json.dumps("€" * (MAX_DOCUMENT_BYTES // 3 - 1), ensure_ascii=False)
    documents = [put(web, f"x{n}", large) for n in range(10)]
    pages = [fetch(web, "", 0)]
    while pages[-1].more:
        pages.append(fetch(web, "", pages[-1].revision))

    assert [document for page in pages for document in page.changed] == documents
    assert [len(page.changed) for page in pages] == [5, 5]
    assert {len(page.names) for page in pages} == {10}
    assert pages[-1].revision == 10


def test_changes_between_two_parts_are_not_missed(
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


def test_a_host_ahead_of_a_restored_store_fetches_everything(
    put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    a = put(web, "a", "1")

    assert fetch(web, "", 2) == ConfigurationChanges([a], ["a"], 1, more=False)
    assert fetch(web, "", 2**63 - 1) == ConfigurationChanges([a], ["a"], 1, more=False)
    assert fetch(web, "", -1) == ConfigurationChanges([a], ["a"], 1, more=False)


def test_the_registration_key_is_checked_before_anything_else(
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


def test_a_server_fetches_nothing_until_it_is_approved(
    fleet: Fleet, put: PutConfiguration, fetch: FetchConfiguration, web: int
) -> None:
    a = put(web, "a", "1")
    decide(fleet, web, Approval.PENDING)

    for known in (0, 1, 2**40):
        assert fetch(web, "", known) == ConfigurationChanges([], [], 0, more=False)

    decide(fleet, web, Approval.APPROVED)

    assert fetch(web, "", 0) == ConfigurationChanges([a], ["a"], 1, more=False)


def test_with_the_approval_switch_on_warn_a_pending_server_fetches_all_and_this_is_recorded(
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
def test_a_refused_server_fetches_nothing(
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
    assert [refusal[:2] for refusal in dry_run_refusals(fleet)] == [(Switch.BAN, web)]


def test_an_unknown_server_fetches_nothing(fetch: FetchConfiguration) -> None:
    with pytest.raises(ServerNotFound):
        fetch(4711, "", 0)
