"""A subscriber to the fleet's events that uses pika, not our own AMQP client."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.conftest import SUBSCRIBER_QUEUE
from tests.support.canary_secrets import leak_detector


@dataclass(frozen=True)
class ReceivedEvent:
    routing_key: str
    message_id: str
    body: dict[str, Any]
    trace_parent: str = ""

    @property
    def kind(self) -> str:
        return self.routing_key.removeprefix("manman.host.")


class EventSubscriber:
    """Binds its own durable queue to `external` and keeps every event that it received."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.received: list[ReceivedEvent] = []
        with channel(url) as open_channel:
            open_channel.exchange_declare("external", "topic", durable=True)
            open_channel.queue_declare(SUBSCRIBER_QUEUE, durable=True)
            open_channel.queue_bind(SUBSCRIBER_QUEUE, "external", "manman.host.#")

    def listen(self) -> list[ReceivedEvent]:
        """All events received so far, in order. Nothing new is added while the broker is down."""
        with suppress(pika.exceptions.AMQPError), channel(self._url) as open_channel:
            while True:
                method, properties, body = open_channel.basic_get(SUBSCRIBER_QUEUE, auto_ack=True)
                if method is None:
                    break
                assert properties.content_type == "application/json"
                assert properties.timestamp
                leak_detector.check("in an event", (method.routing_key, properties, body))
                trace_parent = (properties.headers or {}).get("traceparent", "")
                self.received.append(
                    ReceivedEvent(
                        method.routing_key, properties.message_id, json.loads(body), trace_parent
                    )
                )
        return self.received

    def kinds(self, server_id: int) -> list[str]:
        """The kinds of a server's events. Duplicates are removed by message id."""
        return self.kinds_by_server().get(server_id, [])

    def kinds_by_server(self) -> dict[int, list[str]]:
        """The same for every server with at least one event, by server id."""
        kinds: dict[int, list[str]] = {}
        for event in {event.message_id: event for event in self.listen()}.values():
            kinds.setdefault(event.body["server_id"], []).append(event.kind)
        return kinds


@contextmanager
def channel(url: str) -> Iterator[BlockingChannel]:
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.blocked_connection_timeout = 10
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        with suppress(pika.exceptions.AMQPError):
            connection.close()
