"""What happens to messages when the store, the broker or the sender fails."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pika
import pytest

from adapters.amqp import batch_consumer
from adapters.amqp.batch_consumer import Answered, BatchConsumer, IncomingMessage, Outcome
from adapters.amqp.broker import Broker
from adapters.amqp.control_plane import AmqpControlPlane
from adapters.amqp.topology import CALLS, REPORTS
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    RegistrationRequest,
)
from application.ports.store.store import StoreFailed, StoreUnavailable
from tests.adapters.amqp.test_broker import ShortOfMemory
from tests.support.canary_secrets import canary
from tests.support.event_subscriber import channel
from tests.support.processes import eventually


@dataclass
class Handler:
    """Records the messages that it handled, or raises its error."""

    error: Exception | None = None
    # Whether the store causes the error, and not the message.
    store_is_unavailable: bool = False
    answer: Mapping[str, object] = field(default_factory=dict)
    handled: list[IncomingMessage] = field(default_factory=list)

    def __call__(self, messages: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        if self.error and (messages or self.store_is_unavailable):
            raise self.error
        self.handled += messages
        return [Answered(self.answer)] * len(messages)


@dataclass
class ListeningState:
    """What a consumer reports about whether it listens."""

    listens: bool = False

    def __call__(self, listens: bool) -> None:
        self.listens = listens


Start = Callable[..., ListeningState]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start_one(
            url: str, handler: Handler, queue: Any = REPORTS, **options: Any
        ) -> ListeningState:
            state = ListeningState()
            consumer = BatchConsumer(Broker(url), queue, handler, state, **options)
            stack.enter_context(_running(consumer))
            return state

        yield start_one


@contextmanager
def _running(consumer: BatchConsumer) -> Iterator[None]:
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield
    finally:
        consumer.stop()
        thread.join()


def send(
    url: str, routing_key: Any = "health.host.1", body: bytes = b"{}", **properties: Any
) -> None:
    with channel(url) as open_channel:
        open_channel.basic_publish(
            "manman", routing_key, body, pika.BasicProperties(**properties), mandatory=True
        )


def dead_letters(url: str) -> list[tuple[str, bytes]]:
    letters: list[tuple[str, bytes]] = []
    with channel(url) as open_channel:
        while True:
            method, properties, body = open_channel.basic_get("manman.dead-letters")
            if method is None:
                return letters
            letters.append((properties.headers["reason"], body))


UNREADABLE: list[dict[str, Any]] = [
    {"headers": {"compression": "nope"}},
    {"headers": {"compression": "zlib"}},
    {"content_encoding": "utf-16"},
    {"content_encoding": "zlib"},
    {"correlation_id": b"\xe9"},
    {"reply_to": b"\xe9"},
    {"content_type": b"\xff\xfe"},
]


def test_no_message_blocks_the_messages_behind_it(
    rabbitmq_url: str, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    state = start(rabbitmq_url, handler)
    eventually(lambda: state.listens, "the consumer")
    for properties in UNREADABLE:
        send(rabbitmq_url, **properties)
    send(rabbitmq_url, routing_key=b"health.host.\xe9")
    send(rabbitmq_url, routing_key="health.host.2")
    eventually(lambda: handler.handled and handler.handled[-1].routing_key[-1] == "2", "the last")

    assert {reason for reason, _ in dead_letters(rabbitmq_url)} == {
        "its properties or headers cannot be read"
    }
    assert not [record for record in caplog.records if record.exc_info]
    assert state.listens


def test_a_message_that_causes_an_error_becomes_a_dead_letter_without_its_key(
    rabbitmq_url: str, start: Start
) -> None:
    state = start(rabbitmq_url, Handler(ValueError("a mistake")), CALLS, keep_bodies=False)
    eventually(lambda: state.listens, "the consumer")
    key = canary("registration key")
    send(rabbitmq_url, "register.host", b'{"registration_key": "%s"}' % key.encode())
    host = AmqpControlPlane(Broker(rabbitmq_url), KeyRing.single(key))
    try:
        with pytest.raises(ControlPlaneUnavailable, match="failed to answer"):
            host.register(RegistrationRequest(name="box"))
    finally:
        host.close()

    assert eventually(lambda: dead_letters(rabbitmq_url), "the dead letter") == [
        ("internal error", b"")
    ]


@pytest.mark.parametrize("error", [StoreUnavailable(), StoreFailed()])
def test_while_the_store_is_away_messages_stay_in_the_queue(
    rabbitmq_url: str,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    monkeypatch.setattr(batch_consumer, "_HOLD_SECONDS", 1.0)
    handler = Handler()
    state = start(rabbitmq_url, handler)
    eventually(lambda: state.listens, "the consumer")
    handler.error, handler.store_is_unavailable = error, True
    for number in range(3):
        send(rabbitmq_url, routing_key=f"health.host.{number}")
    # It returns the messages to the queue, for another process.
    eventually(lambda: not state.listens, "the consumer to give up")
    handler.error = None
    eventually(lambda: len(handler.handled) == 3, "the messages")

    assert [message.routing_key[-1] for message in handler.handled] == ["0", "1", "2"]
    assert dead_letters(rabbitmq_url) == []
    assert sum("The store is away" in message for message in caplog.messages) == 1


def test_a_long_outage_of_the_store_does_not_look_like_a_dead_broker(
    rabbitmq_url: str,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The connection is closed after two missed heartbeats of the broker.
    monkeypatch.setattr(batch_consumer, "_HEARTBEAT_SECONDS", 3)
    monkeypatch.setattr(batch_consumer, "_HOLD_SECONDS", 60.0)
    caplog.set_level(logging.INFO, logger=batch_consumer.__name__)
    handler = Handler()
    state = start(rabbitmq_url, handler)
    eventually(lambda: state.listens, "the consumer")
    handler.error = StoreUnavailable()
    send(rabbitmq_url)
    threading.Timer(9, setattr, (handler, "error", None)).start()
    eventually(lambda: handler.handled, "the message")

    assert len(handler.handled) == 1
    assert [
        record.getMessage() for record in caplog.records if record.name == batch_consumer.__name__
    ] == ["Listening for messages from manman.reports."]


def test_a_consumer_does_not_count_as_listening_while_hosts_cannot_publish(
    rabbitmq_url: str, start: Start
) -> None:
    with ShortOfMemory() as short:
        blocked, state = start(short.url(), Handler()), start(rabbitmq_url, Handler())
        eventually(lambda: state.listens, "the consumer of the healthy broker")

        assert not blocked.listens


@pytest.mark.parametrize(
    "answer", [{"server_id": "7"}, {"server_id": 7, "next_heartbeat_seconds": "15"}]
)
def test_an_invalid_answer_is_refused_with_a_sentence(
    rabbitmq_url: str, start: Start, answer: Mapping[str, object]
) -> None:
    state = start(rabbitmq_url, Handler(answer=answer), CALLS)
    eventually(lambda: state.listens, "the consumer")
    host = AmqpControlPlane(Broker(rabbitmq_url), KeyRing.single(""))
    try:
        with pytest.raises(ControlPlaneRefused, match="sent an invalid answer"):
            host.register(RegistrationRequest(name="box"))
    finally:
        host.close()
