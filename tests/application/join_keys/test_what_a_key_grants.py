"""What a server gets from the join key that it joins with, and what the key is good for later."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from application.configuration.fetch_configuration import FetchConfiguration
from application.configuration.get_effective_configuration import GetEffectiveConfiguration
from application.configuration.propagate_configuration import PropagateConfiguration
from application.configuration.put_selector_configuration import PutSelectorConfiguration
from application.servers.label_server import LabelServer
from domain.approval import Approval, ApprovalPolicy
from domain.enforcement import Enforcement, Mode, Switch
from domain.errors import (
    InvalidField,
    InvalidRegistrationKey,
    JoinKeyRefused,
    ManManError,
    NotAdmitted,
)
from domain.events import EventKind
from domain.labels import parse_selector
from domain.registration_rules import RegistrationRules
from tests.support.builders import INTERVAL
from tests.support.fleet import Fleet
from tests.support.join_keys import (
    ELSEWHERE,
    HERE,
    SECRET,
    SHARED,
    join,
    make,
    revoke,
    uses,
)

MANUAL = RegistrationRules(approval_policy=ApprovalPolicy.MANUAL)


def with_rules(fleet: Fleet, rules: RegistrationRules) -> Fleet:
    fleet.register = replace(fleet.register, rules=rules)
    return fleet


def events_of(fleet: Fleet, server_id: int) -> list[tuple[EventKind, str]]:
    with fleet.store.begin() as transaction:
        return [(entry.kind, entry.cause) for entry in transaction.history.of(server_id)]


def test_a_host_without_an_environment_gets_the_keys_environment(fleet: Fleet) -> None:
    key = make(fleet, environment="prod")

    assert join(fleet, key).server.environment == "prod"


def test_the_keys_labels_become_operators_labels_of_a_server_when_it_first_joins(
    fleet: Fleet,
) -> None:
    key = make(fleet, labels={"tier": "gold", "zone": "a"})
    server = join(fleet, key, labels={"tier": "bronze"}).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {"tier": "silver"}, ["zone"])
    again = join(fleet, key, labels={"tier": "bronze"}).server

    assert server.labels.of_operators == {"tier": "gold", "zone": "a"}
    assert server.labels.effective == {"tier": "gold", "zone": "a"}
    assert again.labels.of_operators == {"tier": "silver"}
    assert (
        EventKind.LABELLED,
        "the join key jk-aaaaaaaaaa set tier=gold and zone=a",
    ) in events_of(fleet, server.server_id)


def test_the_keys_labels_are_added_to_those_that_an_operator_set_before(fleet: Fleet) -> None:
    server = join(fleet, SHARED).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {"owner": "anna"}, [])
    key = make(fleet, labels={"tier": "gold"})

    assert join(fleet, key).server.labels.of_operators == {"owner": "anna", "tier": "gold"}


@pytest.mark.parametrize("joined_before", [False, True])
def test_a_server_gets_the_documents_for_the_labels_of_its_key(
    fleet: Fleet, joined_before: bool
) -> None:
    if joined_before:
        join(fleet, SHARED)
    propagate = PropagateConfiguration(fleet.store, fleet.clock)
    put = PutSelectorConfiguration(fleet.store, fleet.clock, propagate)
    put(parse_selector("tier=gold"), "limits", "{}")
    registered = join(fleet, make(fleet, labels={"tier": "gold"}))

    assert registered.config_revision > 0
    found = GetEffectiveConfiguration(fleet.store)(registered.server.server_id)
    assert [summary.name for summary in found] == ["limits"]


def test_a_server_with_too_many_labels_is_refused(fleet: Fleet) -> None:
    server = join(fleet, SHARED).server
    LabelServer(fleet.store, fleet.clock)(server.server_id, {f"own-{n}": "" for n in range(40)}, [])
    key = make(fleet, labels={f"keys-{n}": "" for n in range(40)})

    with pytest.raises(InvalidField, match="has 80 labels"):
        join(fleet, key)
    assert uses(fleet, key) == []


@pytest.mark.parametrize("of_key", [False, True])
@pytest.mark.parametrize("of_host", [False, True])
def test_a_server_is_ephemeral_if_the_key_or_the_host_says_so(
    fleet: Fleet, of_key: bool, of_host: bool
) -> None:
    key = make(fleet, ephemeral=of_key)

    assert join(fleet, key, ephemeral=of_host).server.ephemeral is (of_key or of_host)
    assert join(fleet, key, ephemeral=of_host).server.ephemeral is (of_key or of_host)


def test_a_host_with_a_pre_approved_key_needs_no_approval(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    plain, approved = make(fleet), make(fleet, pre_approved=True)

    assert join(fleet, plain, "a").server.approval is Approval.PENDING
    assert join(fleet, approved, "b").server.approval is Approval.APPROVED


def test_a_pending_server_is_approved_when_it_joins_with_a_pre_approved_key(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    server = join(fleet, make(fleet)).server
    key = make(fleet, pre_approved=True)

    assert server.approval is Approval.PENDING
    assert join(fleet, key).server.approval is Approval.APPROVED
    assert (
        EventKind.APPROVED,
        f"the join key {key.key.key_id} is pre-approved",
    ) in events_of(fleet, server.server_id)


def test_a_machine_that_takes_over_with_a_pre_approved_key_needs_no_approval(fleet: Fleet) -> None:
    with_rules(fleet, MANUAL)
    key = make(fleet, pre_approved=True)
    server = join(fleet, key, evidence=HERE).server
    fleet.pass_time(4 * INTERVAL)
    taken_over = join(fleet, key, evidence=ELSEWHERE).server

    assert taken_over.server_id == server.server_id
    assert taken_over.approval is Approval.APPROVED


@pytest.mark.parametrize("policy", [ApprovalPolicy.AUTO, ApprovalPolicy.MANUAL])
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OFF])
def test_a_pre_approved_key_does_not_admit_a_rejected_server(
    fleet: Fleet, policy: ApprovalPolicy, mode: Mode
) -> None:
    server = join(fleet, SHARED).server
    fleet.reject(server.server_id, "not ours")
    with_rules(
        fleet,
        RegistrationRules(approval_policy=policy, enforcement=Enforcement({Switch.BAN: mode})),
    )
    key = make(fleet, pre_approved=True)
    for _ in range(2):
        try:
            join(fleet, key)
        except NotAdmitted:
            assert mode is Mode.ENFORCE

    assert fleet.get(server.server_id).approval is Approval.REJECTED


def test_the_history_names_the_key_that_a_server_joined_with(fleet: Fleet) -> None:
    key = make(fleet)
    server = join(fleet, key, address="10.0.0.7").server

    assert (
        EventKind.REGISTERED,
        "its host registered from 10.0.0.7 with the join key jk-aaaaaaaaaa",
    ) in events_of(fleet, server.server_id)


@pytest.fixture
def fetch(fleet: Fleet) -> FetchConfiguration:
    return FetchConfiguration(fleet.store, fleet.clock, fleet.register.authenticate_host)


def test_a_host_may_call_for_its_server_with_the_key_it_joined_with(
    fleet: Fleet, fetch: FetchConfiguration
) -> None:
    key = make(fleet, expires_in_seconds=60, uses=1)
    server_id = join(fleet, key).server.server_id
    fleet.clock.advance(timedelta(hours=1))

    assert fetch(server_id, str(key.plaintext_key), 0).names == []
    fleet.deregister(server_id, str(key.plaintext_key), "")
    assert fleet.list(size=10).servers == []


def other_keys(fleet: Fleet, server_id: int) -> Iterator[tuple[str, int, type[ManManError]]]:
    """Keys that may not call for this server, the server asked for, and the error."""
    other, revoked = make(fleet), make(fleet)
    join(fleet, other, "other")
    join(fleet, revoked, "web")
    revoke(fleet, revoked)
    yield str(other.plaintext_key), server_id, InvalidRegistrationKey
    yield str(other.plaintext_key), 4711, InvalidRegistrationKey
    yield f"{other.key.key_id}.x", server_id, InvalidRegistrationKey
    yield f"jk-zzzzzzzzzz.{SECRET}", server_id, InvalidRegistrationKey
    yield str(revoked.plaintext_key), server_id, JoinKeyRefused


def test_no_other_join_key_may_call_for_a_server(fleet: Fleet, fetch: FetchConfiguration) -> None:
    server_id = join(fleet, make(fleet)).server.server_id
    for presented_key, asked_for, error in other_keys(fleet, server_id):
        with pytest.raises(error):
            fetch(asked_for, presented_key, 0)
        with pytest.raises(error):
            fleet.deregister(asked_for, presented_key, "")

    assert len(fleet.list(size=10).servers) == 2
