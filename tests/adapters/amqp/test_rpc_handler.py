"""Deregistrations over AMQP, also from third-party hosts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.amqp.batch_consumer import Answered, IncomingMessage, Rejected
from adapters.amqp.codec import as_json
from adapters.amqp.rpc_handler import RpcHandler
from adapters.memory.store import MemoryStore
from application.configuration.fetch_configuration import FetchConfiguration
from application.registration.register_server import Registration
from tests.support.builders import evidence
from tests.support.canary_secrets import canary
from tests.support.fleet import OPEN, Fleet, admitting_keys

EVIDENCE = evidence("disk", "board", "boot", "instance")


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(MemoryStore())


@pytest.fixture
def calls(fleet: Fleet) -> RpcHandler:
    fetch = FetchConfiguration(fleet.store, fleet.clock, authenticate_host=OPEN)
    return RpcHandler(fleet.register, fetch, fleet.deregister)


@pytest.fixture
def web(fleet: Fleet) -> int:
    return fleet.register(Registration("web", evidence=EVIDENCE)).server.server_id


def send(
    calls: RpcHandler,
    routing_key: str,
    fields: dict[str, object],
    reply_to: str | None = "answers",
) -> Answered | Rejected:
    [outcome] = calls([IncomingMessage(routing_key, as_json(fields), reply_to, "request-1")])
    return outcome


def listed(fleet: Fleet) -> list[str]:
    return [server.name for server in fleet.list(size=9).servers]


def test_a_host_leaves_for_good(fleet: Fleet, calls: RpcHandler, web: int) -> None:
    leaves: dict[str, object] = {"server_id": web, "instance_id": EVIDENCE.instance_id}

    assert send(calls, f"deregister.host.{web}", leaves) == Answered({})
    assert listed(fleet) == []


@pytest.mark.parametrize("routing_key", ["deregister.host.4711", "deregister.host."])
def test_a_deregistration_that_names_two_servers_deletes_none(
    fleet: Fleet, calls: RpcHandler, web: int, routing_key: str
) -> None:
    outcome = send(calls, routing_key, {"server_id": web, "instance_id": EVIDENCE.instance_id})

    assert isinstance(outcome, Answered)
    assert outcome.fields["error"] == {
        "kind": "invalid_argument",
        "message": f"server_id is {web}, but the routing key names {routing_key.split('.')[2]}",
    }
    assert listed(fleet) == ["web"]


def test_another_process_learns_that_it_was_superseded(
    fleet: Fleet, calls: RpcHandler, web: int
) -> None:
    outcome = send(calls, f"deregister.host.{web}", {"server_id": web})

    assert isinstance(outcome, Answered)
    assert "'kind': 'replaced'" in str(outcome.fields)
    assert listed(fleet) == ["web"]


def test_a_refusal_without_a_reply_address_is_a_dead_letter(calls: RpcHandler, web: int) -> None:
    outcome = send(calls, "deregister.host.4711", {"server_id": 4711}, reply_to=None)

    assert outcome == Rejected("server 4711 does not exist")


@pytest.mark.parametrize(
    "fields",
    [{"server_id": "1"}, {"server_id": 1, "instance_id": 7}, {"server_id": True}],
)
def test_a_malformed_message_is_refused(
    fleet: Fleet, calls: RpcHandler, web: int, fields: dict[str, object]
) -> None:
    outcome = send(calls, "deregister.host.1", fields)

    assert isinstance(outcome, Answered)
    assert "'kind': 'invalid_argument'" in str(outcome.fields)
    assert listed(fleet) == ["web"]


@given(
    key=st.none()
    | st.integers()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
    | st.lists(st.text()),
    prefix=st.sampled_from(["", "jk-", "jk-aaaaaaaaaa.", "ok-aaaaaaaaaa."]),
)
def test_a_host_is_answered_whatever_its_key_is(key: object, prefix: str) -> None:
    fleet = Fleet(MemoryStore())
    authenticate_host = admitting_keys(canary("registration key"))
    calls = RpcHandler(
        replace(fleet.register, authenticate_host=authenticate_host),
        FetchConfiguration(fleet.store, fleet.clock, authenticate_host),
        replace(fleet.deregister, authenticate_host=authenticate_host),
    )
    presented_key = f"{prefix}{key}" if isinstance(key, str) else key
    # JSON escapes can contain surrogates, which UTF-8 cannot encode.
    body = json.dumps({"server_id": 1, "name": "web", "registration_key": presented_key}).encode()
    for routing_key in ("register.host", "configuration.host.1", "deregister.host.1"):
        [outcome] = calls([IncomingMessage(routing_key, body, "answers", "request-1")])

        assert isinstance(outcome, Answered)
        error = outcome.fields["error"]
        assert isinstance(error, dict)
        assert error["kind"] in ("invalid_registration_key", "invalid_argument")
    assert listed(fleet) == []
