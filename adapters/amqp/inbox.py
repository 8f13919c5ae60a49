import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Consumer, Exchange, Queue

from adapters.amqp.broker import Broker
from adapters.amqp.message import Message, body_of, send
from adapters.amqp.messages import as_json
from adapters.amqp.publisher import Publisher
from adapters.amqp.topology import DEAD_LETTERS, declare_exchanges
from application.passing_trouble import PassingTrouble
from application.ports.broker import BrokerUnavailable
from application.ports.store import StoreUnavailable
from domain.backoff import wait_before_retry

_log = logging.getLogger(__name__)

# Nobody who answers needs longer; a connection that is silent for twice as long is given up.
_HEARTBEAT_SECONDS = 10
# How long a stop, a heartbeat that is due or a store that was away may wait to be noticed.
_LONGEST_WAIT_SECONDS = 0.5
_DEFAULT_EXCHANGE = Exchange("")
_REASONS_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was taken from a queue. `reply_to` is None when nobody waits."""

    routing_key: str
    body: bytes
    reply_to: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """It was done, or refused in words that the sender understands."""

    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rejected:
    """It is of no use to anybody but who looks for the mistake.

    `body` is what may be kept of it.
    """

    reason: str
    body: bytes


Outcome = Answered | Rejected
Handle = Callable[[Sequence[Delivery]], Sequence[Outcome]]


@dataclass
class Inbox:
    """Takes what arrives in a queue, in batches, for as long as this process lives.

    A message is acknowledged after `handle` has returned, so after the commit; who waits is then
    answered, and what is rejected goes to the dead letters first, with the reason. While the
    store is away messages are kept, and nobody else gets them out of their order. Whatever
    happens to the broker or to the queue, it connects and declares anew.
    """

    broker: Broker
    queue: Queue
    handle: Handle
    dead_letters: Publisher
    # Told whether messages can be heard, at every change.
    listens: Callable[[bool], None] = lambda _: None
    largest_batch: int = 500
    # As with heartbeats over gRPC: batches are larger, and nobody notices.
    gather_seconds: float = 0.01
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)
    _trouble: PassingTrouble = field(init=False)
    _reasons: set[str] = field(init=False, default_factory=set)
    _failures: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._trouble = PassingTrouble(_log, f"messages of {self.queue.name} arrive again")

    def run(self) -> None:
        """Returns once `stop` was called."""
        self.listens(False)
        while not self._stopping.is_set():
            try:
                with self.broker.connected(_HEARTBEAT_SECONDS) as connection:
                    self._listen(connection)
            except BrokerUnavailable as error:
                self._trouble.strikes(
                    f"{error} What is sent to {self.queue.name} waits until it is back."
                )
            except Exception:  # noqa: BLE001 - whatever it is, hosts must be heard again
                _log.exception("messages of %s could not be handled", self.queue.name)
            self.listens(False)
            if self._stopping.is_set():
                return
            self._failures += 1
            self._stopping.wait(wait_before_retry(self._failures, random.random()))  # noqa: S311

    def stop(self) -> None:
        """What is being handled is finished; what only arrived is left for others."""
        self._stopping.set()

    def _listen(self, connection: Connection) -> None:
        channel = connection.channel()
        declare_exchanges(channel)
        self.queue(channel).declare()
        channel.basic_qos(0, self.largest_batch, False)
        arrived: deque[Any] = deque()
        consumer = Consumer(channel, [self.queue], on_message=arrived.append, auto_declare=False)
        consumer.consume()
        # An answer to who has gone in the meantime must not close the channel of the others.
        answers = connection.channel()
        self._trouble.ends()
        self._failures = 0
        self.listens(True)
        while not self._stopping.is_set():
            connection.heartbeat_check()
            self._gather(connection, arrived)
            while arrived and not self._stopping.is_set():
                batch = [arrived.popleft() for _ in range(min(len(arrived), self.largest_batch))]
                self._settle(connection, channel, answers, batch)

    def _gather(self, connection: Connection, arrived: deque[Any]) -> None:
        wait = _LONGEST_WAIT_SECONDS
        until = None
        while len(arrived) < self.largest_batch:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            if arrived:
                until = until or time.monotonic() + self.gather_seconds
                wait = until - time.monotonic()
                if wait <= 0:
                    return

    def _settle(
        self, connection: Connection, channel: Any, answers: Any, batch: Sequence[Any]
    ) -> None:
        outcomes = self._outcomes(connection, [_delivery(message) for message in batch])
        if outcomes is None:
            return
        rejected = [
            _dead_letter(message, outcome)
            for message, outcome in zip(batch, outcomes, strict=True)
            if isinstance(outcome, Rejected)
        ]
        if rejected:
            self.dead_letters.publish(rejected)
        channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        for message, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Answered) and message.properties.get("reply_to"):
                send(answers, _answer(message, outcome), self.broker.seconds)
            if isinstance(outcome, Rejected):
                self._tell_once(message, outcome.reason)

    def _outcomes(
        self, connection: Connection, deliveries: Sequence[Delivery]
    ) -> Sequence[Outcome] | None:
        """None when this process was stopped while the store was away."""
        while not self._stopping.is_set():
            try:
                return self.handle(deliveries)
            except StoreUnavailable:
                # The look for silent servers says so. The broker must not take us for dead.
                self._stopping.wait(_LONGEST_WAIT_SECONDS)
                connection.heartbeat_check()
            except Exception:  # noqa: BLE001 - one message must not keep all others from being handled
                if len(deliveries) > 1:
                    return self._one_by_one(connection, deliveries)
                _log.exception("a message of %s could not be handled", self.queue.name)
                return [Rejected("internal error", deliveries[0].body)]
        return None

    def _one_by_one(
        self, connection: Connection, deliveries: Sequence[Delivery]
    ) -> Sequence[Outcome] | None:
        outcomes: list[Outcome] = []
        for delivery in deliveries:
            single = self._outcomes(connection, [delivery])
            if single is None:
                return None
            outcomes += single
        return outcomes

    def _tell_once(self, message: Any, reason: str) -> None:
        told = f"{message.delivery_info['routing_key']}: {reason}"
        if told in self._reasons or len(self._reasons) >= _REASONS_REMEMBERED:
            return
        self._reasons.add(told)
        _log.warning("a message went to the dead letters, %s", told)


def _delivery(message: Any) -> Delivery:
    return Delivery(
        routing_key=message.delivery_info["routing_key"],
        body=body_of(message),
        reply_to=message.properties.get("reply_to"),
        correlation_id=message.properties.get("correlation_id"),
    )


def _answer(message: Any, outcome: Answered) -> Message:
    return Message(
        _DEFAULT_EXCHANGE,
        message.properties["reply_to"],
        as_json(outcome.fields),
        correlation_id=message.properties.get("correlation_id"),
        must_arrive=False,
    )


def _dead_letter(message: Any, outcome: Rejected) -> Message:
    info = message.delivery_info
    return Message(
        DEAD_LETTERS,
        info["routing_key"],
        outcome.body,
        content_type="application/octet-stream",
        headers={"reason": outcome.reason, "exchange": info["exchange"]},
    )
