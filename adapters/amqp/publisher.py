import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from amqp import exceptions
from kombu import Connection, Exchange, Producer

from adapters.amqp.broker import Broker
from adapters.amqp.topology import declare_exchanges

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the broker. It is lost once nobody took it for `expires_after` seconds."""

    exchange: Exchange
    routing_key: str
    body: bytes
    content_type: str = JSON
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    headers: Mapping[str, str] = field(default_factory=dict)
    # To whom to answer, and about what.
    reply_to: str | None = None
    correlation_id: str | None = None
    expires_after: float | None = None
    # Whether it is wrong that no queue takes it.
    must_arrive: bool = True


class Unroutable(Exception):
    """The broker has no queue that takes this message."""


def send(channel: Any, message: Message, seconds: float) -> None:
    """Hand it to the broker's connection; whether it arrives is another matter."""
    Producer(channel, auto_declare=False).publish(
        message.body,
        exchange=message.exchange.name,
        routing_key=message.routing_key,
        content_type=message.content_type,
        content_encoding="utf-8" if message.content_type == JSON else "binary",
        headers=dict(message.headers),
        message_id=message.message_id,
        timestamp=int(message.at.timestamp()),
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
        expiration=message.expires_after,
        mandatory=message.must_arrive,
        timeout=seconds,
    )


class Publisher:
    """Publishes, and returns once the broker has it on disk; safe to share between threads.

    Keeps a connection; one over which something failed is thrown away.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._one_at_a_time = threading.Lock()
        self._open: _ConfirmingChannel | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish all, in this order. Raises BrokerUnavailable and Unroutable."""
        with self._one_at_a_time, self._broker.own_errors():
            if self._open:
                try:
                    return self._publish_over(self._open, messages)
                except TimeoutError:
                    raise
                except (exceptions.ConnectionError, OSError):
                    # The broker may have been restarted since the last time, which says nothing
                    # of now. What it took twice has the same message_id.
                    pass
            self._open = _ConfirmingChannel(self._broker)
            return self._publish_over(self._open, messages)

    def close(self) -> None:
        with self._one_at_a_time:
            if self._open:
                self._open.close()
            self._open = None

    def _publish_over(self, channel: "_ConfirmingChannel", messages: Sequence[Message]) -> None:
        try:
            channel.publish(messages)
        except Unroutable:
            raise
        except BaseException:
            channel.throw_away()
            self._open = None
            raise


class _ConfirmingChannel:
    """Many messages are on their way at once, and each is waited for."""

    def __init__(self, broker: Broker) -> None:
        self._seconds = broker.seconds
        self._connection: Connection = broker.connect()
        try:
            self._channel: Any = self._connection.channel()
            declare_exchanges(self._channel)
            self._channel.confirm_select()
        except BaseException:
            self.throw_away()
            raise
        self._published = 0
        self._confirmed = 0
        self._refused = False
        self._returned: list[str] = []
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)

    def publish(self, messages: Sequence[Message]) -> None:
        self._returned.clear()
        deadline = time.monotonic() + self._seconds
        for message in messages:
            send(self._channel, message, self._seconds)
            self._published += 1
        while self._confirmed < self._published:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.drain_events(timeout=left)
        if self._refused:
            raise exceptions.MessageNacked
        if self._returned:
            raise Unroutable(self._returned[0])

    def close(self) -> None:
        with suppress(exceptions.AMQPError, OSError):
            self._connection.release()

    def throw_away(self) -> None:
        # Without a word: who does not listen would be waited for.
        with suppress(exceptions.AMQPError, OSError):
            self._connection.collect()

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:
        self._confirmed = delivery_tag if multiple else self._confirmed + 1

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:
        self._refused = True
        self._on_ack(delivery_tag, multiple)

    def _on_return(self, _error: Any, _exchange: str, routing_key: str, _message: Any) -> None:
        self._returned.append(routing_key)
