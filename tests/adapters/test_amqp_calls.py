"""What hosts of another make may send over AMQP to leave for good."""

import pytest

from adapters.amqp.calls import Calls
from adapters.amqp.inbox import Answered, Delivery, Rejected
from adapters.amqp.messages import as_json
from adapters.memory.store import MemoryStore
from application.fetch_configuration import FetchConfiguration
from application.register_server import Registration
from tests.builders import evidence
from tests.fleet import Fleet

EVIDENCE = evidence("disk", "board", "boot", "instance")


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(MemoryStore())


@pytest.fixture
def calls(fleet: Fleet) -> Calls:
    fetch = FetchConfiguration(fleet.store, fleet.clock, registration_key=None)
    return Calls(fleet.register, fetch, fleet.deregister)


@pytest.fixture
def web(fleet: Fleet) -> int:
    return fleet.register(Registration("web", evidence=EVIDENCE)).server.server_id


def send(
    calls: Calls,
    routing_key: str,
    fields: dict[str, object],
    reply_to: str | None = "answers",
) -> Answered | Rejected:
    [outcome] = calls([Delivery(routing_key, as_json(fields), reply_to, "request-1")])
    return outcome


def listed(fleet: Fleet) -> list[str]:
    return [server.name for server in fleet.list(size=9).servers]


def test_a_host_leaves_for_good(fleet: Fleet, calls: Calls, web: int) -> None:
    leaves: dict[str, object] = {"server_id": web, "instance_id": EVIDENCE.instance_id}

    assert send(calls, f"deregister.host.{web}", leaves) == Answered({})
    assert listed(fleet) == []


@pytest.mark.parametrize("routing_key", ["deregister.host.4711", "deregister.host."])
def test_who_names_two_servers_deletes_none(
    fleet: Fleet, calls: Calls, web: int, routing_key: str
) -> None:
    outcome = send(calls, routing_key, {"server_id": web, "instance_id": EVIDENCE.instance_id})

    assert isinstance(outcome, Answered)
    assert outcome.fields["error"] == {
        "kind": "invalid_argument",
        "message": f"server_id is {web}, the routing key says {routing_key.split('.')[2]}",
    }
    assert listed(fleet) == ["web"]


def test_another_process_is_told_that_it_was_replaced(fleet: Fleet, calls: Calls, web: int) -> None:
    outcome = send(calls, f"deregister.host.{web}", {"server_id": web})

    assert isinstance(outcome, Answered)
    assert "'kind': 'replaced'" in str(outcome.fields)
    assert listed(fleet) == ["web"]


def test_where_nobody_waits_a_refusal_is_a_dead_letter(calls: Calls, web: int) -> None:
    outcome = send(calls, "deregister.host.4711", {"server_id": 4711}, reply_to=None)

    assert outcome == Rejected("server 4711 does not exist")


@pytest.mark.parametrize(
    "fields",
    [{"server_id": "1"}, {"server_id": 1, "instance_id": 7}, {"server_id": True}],
)
def test_what_is_no_such_message_is_refused(
    fleet: Fleet, calls: Calls, web: int, fields: dict[str, object]
) -> None:
    outcome = send(calls, "deregister.host.1", fields)

    assert isinstance(outcome, Answered)
    assert "'kind': 'invalid_argument'" in str(outcome.fields)
    assert listed(fleet) == ["web"]
