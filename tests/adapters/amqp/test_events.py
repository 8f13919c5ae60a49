"""Events on the wire. No event is lost with the process that publishes it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pytest

from adapters.amqp.broker import Broker
from adapters.amqp.events import AmqpEvents
from adapters.amqp.publisher import Publisher
from adapters.memory.clock import MemoryClock
from adapters.sql.engine import make_engine
from adapters.sql.store import SqlStore
from application.liveness.heartbeat_interval import HeartbeatInterval
from application.operations.relay_events import RelayEvents
from application.ports.store.outbox import RecordedEvent
from application.registration.register_server import RegisterServer, Registration
from domain.events import EventKind
from domain.liveness import HeartbeatSchedule, Status
from tests.conftest import SUBSCRIBER_QUEUE
from tests.support.builders import INTERVAL, NOW
from tests.support.event_subscriber import EventSubscriber, channel
from tests.support.fleet import OPEN
from tests.support.repository import ROOT

EVENT = RecordedEvent(
    entry_id=7,
    message_id="5c1f1e0e-8a0c-4c63-9a51-6f4f5d6b8a10",
    kind=EventKind.STALE,
    server_id=2**40,
    at=NOW,
    name="münchen-☃",
    environment="production",
    status=Status.OFFLINE,
    config_revision=3,
    cause="its host was silent for longer than 45 seconds",
)


@dataclass
class DeadlyEvents:
    """Publishes, and kills its process before it can record that."""

    events: AmqpEvents

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        self.events.publish(events)
        os.kill(os.getpid(), signal.SIGKILL)


def publish_and_die(database_url: str, broker_url: str) -> None:
    events = DeadlyEvents(AmqpEvents(Publisher(Broker(broker_url))))
    RelayEvents(SqlStore(make_engine(database_url, 1)), events, MemoryClock(NOW), "doomed")()


def published(url: str, event: RecordedEvent) -> None:
    with closing(Publisher(Broker(url))) as publisher:
        AmqpEvents(publisher).publish([event])


def test_an_event_on_the_wire_follows_the_contract(rabbitmq_url: str) -> None:
    EventSubscriber(rabbitmq_url)
    published(rabbitmq_url, EVENT)
    with channel(rabbitmq_url) as foreign:
        method, properties, body = foreign.basic_get(SUBSCRIBER_QUEUE, auto_ack=True)

    assert (method.exchange, method.routing_key) == ("external", "manman.host.stale")
    assert properties.content_type == "application/json"
    assert properties.content_encoding == "utf-8"
    assert properties.message_id == EVENT.message_id
    assert properties.timestamp == int(NOW.timestamp())
    # A message that survives a restart of the broker and stays until a subscriber takes it.
    assert properties.delivery_mode == 2
    assert properties.expiration is None
    assert properties.reply_to is None
    assert json.loads(body) == {
        "event": "stale",
        "server_id": 2**40,
        "name": "münchen-☃",
        "environment": "production",
        "status": "offline",
        "config_revision": 3,
        "at": "2026-02-28T23:59:58.123+00:00",
        "cause": "its host was silent for longer than 45 seconds",
    }


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_of_event_has_a_routing_key_of_its_own(
    rabbitmq_url: str, kind: EventKind
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    published(rabbitmq_url, RecordedEvent(1, "m", kind, 1, NOW, "box", "", Status.ONLINE, 0))
    (received,) = subscriber.listen()

    assert received.routing_key == f"manman.host.{kind}"
    assert received.body["event"] == kind


@pytest.mark.parametrize("kind", EventKind)
def test_each_kind_of_event_is_in_the_documentation(kind: EventKind) -> None:
    documented = (ROOT / "docs" / "messages.md").read_text()

    assert f"`manman.host.{kind}`" in documented or f"`.{kind}`" in documented


def test_the_time_of_an_event_is_in_utc(rabbitmq_url: str) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    at = datetime(2026, 3, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    event = RecordedEvent(1, "m", EventKind.ONLINE, 1, at, "box", "", Status.ONLINE, 0)
    published(rabbitmq_url, event)
    (received,) = subscriber.listen()

    assert received.body["at"] == "2026-03-01T00:00:00.000+00:00"


def test_an_event_without_a_subscriber_is_still_published(rabbitmq_url: str) -> None:
    published(rabbitmq_url, EVENT)

    assert EventSubscriber(rabbitmq_url).listen() == []


def test_events_of_a_relay_that_was_killed_after_it_published_them_are_published_again(
    postgres_url: str, rabbitmq_url: str
) -> None:
    subscriber = EventSubscriber(rabbitmq_url)
    engine = make_engine(postgres_url, 2)
    store, clock = SqlStore(engine), MemoryClock(NOW)
    register = RegisterServer(
        store, clock, HeartbeatInterval(HeartbeatSchedule(INTERVAL, 2000)), authenticate_host=OPEN
    )
    ids = [register(Registration(name)).server.server_id for name in ("box", "other-box")]
    killed = subprocess.run(
        [sys.executable, "-m", "tests.adapters.amqp.test_events", postgres_url, rabbitmq_url],
        cwd=ROOT,
        check=False,
        timeout=60,
    )
    first = list(subscriber.listen())
    with closing(Publisher(Broker(rabbitmq_url))) as publisher:
        other = RelayEvents(store, AmqpEvents(publisher), clock, "other")
        # The dead process still has the lease.
        other()
        meanwhile = len(subscriber.listen())
        clock.advance(other.lease)
        other()
        received = list(subscriber.listen())
        other()
    engine.dispose()

    assert killed.returncode == -signal.SIGKILL
    assert len(first) == meanwhile == 4
    # A subscriber can recognise the duplicate: all fields are equal, including the message id.
    assert received == first + first
    assert len({one.message_id for one in received}) == 4
    for server_id in ids:
        assert subscriber.kinds(server_id) == ["registered", "online"]
    # Now it is recorded as published, and is not published a third time.
    assert len(subscriber.received) == 8


if __name__ == "__main__":
    publish_and_die(*sys.argv[1:])
