"""Somebody outside who hears what happens in the fleet, by a client that is not ours."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.conftest import AUDIENCE
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


class Audience:
    """Binds a durable queue of its own to `external`, and remembers what it took from it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.heard: list[ReceivedEvent] = []
        with channel(url) as open_channel:
            open_channel.exchange_declare("external", "topic", durable=True)
            open_channel.queue_declare(AUDIENCE, durable=True)
            open_channel.queue_bind(AUDIENCE, "external", "manman.host.#")

    def listen(self) -> list[ReceivedEvent]:
        """All that was heard until now, in its order; nothing new while the broker is away."""
        with suppress(pika.exceptions.AMQPError), channel(self._url) as open_channel:
            while True:
                method, properties, body = open_channel.basic_get(AUDIENCE, auto_ack=True)
                if method is None:
                    break
                assert properties.content_type == "application/json"
                assert properties.timestamp
                leak_detector.check("in an event", (method.routing_key, properties, body))
                trace_parent = (properties.headers or {}).get("traceparent", "")
                self.heard.append(
                    ReceivedEvent(
                        method.routing_key, properties.message_id, json.loads(body), trace_parent
                    )
                )
        return self.heard

    def kinds(self, server_id: int) -> list[str]:
        """What was heard of a server, each event once."""
        return self.kinds_by_server().get(server_id, [])

    def kinds_by_server(self) -> dict[int, list[str]]:
        """The same of each of whom anything was heard."""
        kinds: dict[int, list[str]] = {}
        for heard in {heard.message_id: heard for heard in self.listen()}.values():
            kinds.setdefault(heard.body["server_id"], []).append(heard.kind)
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
