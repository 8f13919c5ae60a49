"""Subscribers receive every change, whatever happens to the broker, the store and the API."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from protos.manman.v1 import manman_pb2 as pb
from tests.support.event_subscriber import EventSubscriber
from tests.support.processes import Api, Process, client, eventually, servers
from tests.support.services.rabbitmq import RabbitBroker

StartApi = Callable[..., Api]
StartHost = Callable[..., Process]

# So long that no server goes offline during a test.
PATIENT = {"HEARTBEAT_INTERVAL_SECONDS": "600"}


@pytest.fixture
def subscriber(rabbitmq_url: str) -> EventSubscriber:
    return EventSubscriber(rabbitmq_url)


def test_every_change_in_the_life_of_a_server_is_an_event(
    postgres_url: str,
    rabbitmq_url: str,
    subscriber: EventSubscriber,
    start_api: StartApi,
    start_host: StartHost,
) -> None:
    api = start_api(postgres_url, RABBITMQ_URL=rabbitmq_url)
    host = start_host(api.address, SERVER_NAME="box", ENVIRONMENT="production")
    host.wait_until_logged("Registered")
    host.terminate()
    second = start_host(api.address, SERVER_NAME="box")
    second.wait_until_logged("Registered")
    second.kill()
    eventually(lambda: servers(api.address)["box"].status == "offline", "silence", api)
    with client(api.address) as stub:
        stub.PutConfiguration(pb.PutConfigurationRequest(server_id=1, name="limits", document="{}"))
        stub.DeleteServer(pb.DeleteServerRequest(server_id=1))
    life = ["registered", "online", "offline", "online", "stale", "configured", "deleted"]
    eventually(lambda: len(subscriber.kinds(1)) >= len(life), "all events", api)

    assert subscriber.kinds(1) == life
    # No event was published twice.
    assert len({event.message_id for event in subscriber.received}) == len(subscriber.received)
    assert {event.body["name"] for event in subscriber.received} == {"box"}
    assert {event.body["environment"] for event in subscriber.received} == {"production"}
    assert [event.body["status"] for event in subscriber.received[:5]] == [
        *("online", "online", "offline", "online", "offline"),
    ]


def test_events_wait_for_a_missing_broker_while_the_api_serves(
    rabbitmq: RabbitBroker, start_api: StartApi, tmp_path: Path
) -> None:
    subscriber = EventSubscriber(rabbitmq.url())
    rabbitmq.stop()
    api = start_api(
        f"sqlite:///{tmp_path / 'manman.sqlite3'}", RABBITMQ_URL=rabbitmq.url(), **PATIENT
    )
    with client(api.address) as stub:
        for number in range(3):
            stub.RegisterServer(pb.RegisterServerRequest(name=f"box-{number}"), timeout=100)
        api.wait_until_logged("Events wait in the store")
        rabbitmq.start()
        eventually(lambda: len(subscriber.listen()) == 6, "the events", api)

    assert [event.body["name"] for event in subscriber.received] == [
        *("box-0", "box-0", "box-1", "box-1", "box-2", "box-2"),
    ]
    api.wait_until_logged("The broker takes events again")
    assert api.count("Events wait in the store") == 1
    assert not any("Traceback" in str(event) for event in api.events)


def test_no_event_is_missing_after_broker_and_relays_were_killed_under_load(
    postgres_url: str, rabbitmq: RabbitBroker, start_api: StartApi
) -> None:
    subscriber = EventSubscriber(rabbitmq.url())
    survivor, killed = (
        start_api(postgres_url, RABBITMQ_URL=rabbitmq.url(), **PATIENT) for _ in range(2)
    )
    acknowledged: list[int] = []
    with client(survivor.address) as stub, client(killed.address) as other:
        for number in range(120):
            for one in (other, stub):
                # Either API may answer; the death of the other does not matter.
                with suppress(grpc.RpcError):
                    request = pb.RegisterServerRequest(name=f"box-{number}")
                    acknowledged.append(one.RegisterServer(request, timeout=100).server_id)
                    break
            if number == 40:
                rabbitmq.kill()
            if number == 60:
                killed.kill()
            if number == 80:
                rabbitmq.start()
    eventually(
        lambda: sum(map(len, subscriber.kinds_by_server().values())) >= 240, "events", survivor
    )

    assert len(acknowledged) == 120
    assert subscriber.kinds_by_server() == {
        server_id: ["registered", "online"] for server_id in acknowledged
    }
    assert survivor.running


def test_several_apis_publish_each_event_once(
    postgres_url: str, rabbitmq_url: str, subscriber: EventSubscriber, start_api: StartApi
) -> None:
    apis = [start_api(postgres_url, RABBITMQ_URL=rabbitmq_url, **PATIENT) for _ in range(3)]
    with ExitStack() as clients:
        stubs = [clients.enter_context(client(api.address)) for api in apis]
        for number in range(60):
            stubs[number % 3].RegisterServer(pb.RegisterServerRequest(name=f"box-{number}"))
    eventually(lambda: len(subscriber.listen()) >= 120, "the events", *apis)

    assert sorted(map(len, subscriber.kinds_by_server().values())) == [2] * 60
    assert len(subscriber.received) == 120
