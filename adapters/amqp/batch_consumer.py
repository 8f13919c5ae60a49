import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection, Exchange, Queue

from adapters.amqp.broker import Broker
from adapters.amqp.codec import as_json
from adapters.amqp.errors import INTERNAL_ERROR
from adapters.amqp.outgoing import Message, body_of
from adapters.amqp.publisher import Publisher
from adapters.amqp.topology import DEAD_LETTERS, declare_exchanges
from adapters.amqp.transport import UNREADABLE
from application.context.request_id import (
    current_request_id,
    request_id_of_batch,
    request_id_or_new,
)
from application.context.trace_context import (
    TRACE_PARENT,
    calling_trace_parents,
    usable_trace_parent,
)
from application.host.transient_failure_log import TransientFailureLog
from application.ports.broker import BrokerUnavailable
from application.ports.store.store import StoreFailed, StoreUnavailable
from domain.backoff import retry_delay
from domain.host_credential import without_signatures

_log = logging.getLogger(__name__)

# Nobody who answers needs longer; a connection that is silent for twice as long is given up.
_HEARTBEAT_SECONDS = 10
# How long a stop, a heartbeat that is due or a store that was away may wait to be noticed.
_MAX_WAIT_SECONDS = 0.5
# How often it is looked at whether hosts can publish at all.
_PROBE_SECONDS = 5.0
# For how long messages are held here while the store is away, before others may have them.
_HOLD_SECONDS = 10.0
# Of each dead letter: enough to see what it was.
_KEPT_BODY_BYTES = 64 * 1024
_DEFAULT_EXCHANGE = Exchange("")
_REASONS_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message that was taken from a queue. `reply_to` is None when nobody waits."""

    routing_key: str
    body: bytes = field(repr=False)
    reply_to: str | None = None
    correlation_id: str | None = None
    trace_parent: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """It was done, or refused in words that the sender understands."""

    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rejected:
    """It is of no use to anybody but who looks for the mistake."""

    reason: str


Outcome = Answered | Rejected
Handle = Callable[[Sequence[IncomingMessage]], Sequence[Outcome]]


class _StoreAway(Exception):
    pass


@dataclass
class BatchConsumer:
    """Takes what arrives in a queue, in batches, for as long as this process lives.

    A message is acknowledged after `handle` has returned, so after the commit; who waits is then
    answered, and what is rejected goes to the dead letters first, with the reason. While the
    store is away messages are kept, for a while here, then in the queue for another process.
    Whatever happens to the broker or to the queue, it connects and declares anew.

    `handle` of nothing tells whether the store is well: it raises when it is not.
    """

    broker: Broker
    queue: Queue
    handle: Handle
    # Told whether hosts can be heard, again and again.
    listens: Callable[[bool], None] = lambda _: None
    # Whether dead letters keep their bodies, which may hold a key.
    keeps_bodies: bool = True
    largest_batch: int = 500
    # As with heartbeats over gRPC: batches are larger, and nobody notices.
    gather_seconds: float = 0.01
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)
    # Of its own: a broker that is short of memory stops to read from who publishes, and must go
    # on giving to who takes.
    _publisher: Publisher = field(init=False)
    _trouble: TransientFailureLog = field(init=False)
    _reasons: set[str] = field(init=False, default_factory=set)
    _failures: int = field(init=False, default=0)
    _has_listened: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._publisher = Publisher(self.broker)
        self._trouble = TransientFailureLog(_log, f"messages of {self.queue.name} arrive again")

    def run(self) -> None:
        """Returns once `stop` was called."""
        with closing(self._publisher):
            while not self._stopping.is_set():
                current_request_id.set("")
                self.listens(False)
                try:
                    self.handle([])
                    with self.broker.connected(_HEARTBEAT_SECONDS) as connection:
                        self._listen(connection)
                except BrokerUnavailable as error:
                    self._trouble.failed(
                        f"{error} What is sent to {self.queue.name} waits until it is back."
                    )
                except (StoreUnavailable, StoreFailed, _StoreAway):
                    self._trouble.failed(
                        f"The store is away: what is sent to {self.queue.name} waits until it is"
                        " back."
                    )
                except Exception:  # noqa: BLE001 - whatever it is, hosts must be heard again
                    _log.exception("messages of %s could not be handled", self.queue.name)
                if not self._stopping.is_set():
                    self._failures += 1
                    self._stopping.wait(
                        retry_delay(self._failures, random.random())  # nosec B311  # noqa: S311 - no secret
                    )
            self.listens(False)

    def stop(self) -> None:
        """What is being handled is finished; what only arrived is left for others."""
        self._stopping.set()

    def _listen(self, connection: Connection) -> None:
        channel = connection.channel()
        declare_exchanges(channel)
        self.queue(channel).declare()
        channel.basic_qos(0, self.largest_batch, False)
        arrived: deque[Any] = deque()
        # Not by kombu's consumer: that unpacks what says that it is packed, however large it
        # gets, and ends the connection over what it cannot unpack.
        channel.basic_consume(self.queue.name, callback=arrived.append)
        next_probe = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_probe:
                next_probe = time.monotonic() + _PROBE_SECONDS
                self._probe_publish()
            connection.heartbeat_check()
            self._gather(connection, arrived)
            while arrived and not self._stopping.is_set():
                batch = [arrived.popleft() for _ in range(min(len(arrived), self.largest_batch))]
                self._settle(connection, channel, batch)

    def _probe_publish(self) -> None:
        """A broker that is short of memory or disk is there, and takes nothing from anybody."""
        self._publisher.publish([_nothing()])
        if not self._has_listened:
            self._has_listened = True
            _log.info("messages of %s are taken", self.queue.name)
        self._trouble.recovered()
        self._failures = 0
        self.listens(True)

    def _gather(self, connection: Connection, arrived: deque[Any]) -> None:
        wait = _MAX_WAIT_SECONDS
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

    def _settle(self, connection: Connection, channel: Any, batch: Sequence[Any]) -> None:
        readable = [message for message in batch if UNREADABLE not in message.properties]
        outcomes = iter(self._outcomes(connection, [_delivery(message) for message in readable]))
        # What is logged from here on belongs to no request any more.
        current_request_id.set("")
        settled = [
            (
                message,
                _CANNOT_BE_READ if UNREADABLE in message.properties else next(outcomes),
            )
            for message in batch
        ]
        rejected = [(message, one) for message, one in settled if isinstance(one, Rejected)]
        if rejected:
            self._publisher.publish([self._dead_letter(*one) for one in rejected])
        channel.basic_ack(batch[-1].delivery_tag, multiple=True)
        answers = [
            _answer(message, one)
            for message, one in settled
            if isinstance(one, Answered) and message.properties.get("reply_to")
        ]
        if answers:
            self._publisher.publish(answers)
        for message, one in rejected:
            self._tell_once(message, one.reason)

    def _outcomes(
        self, connection: Connection, deliveries: Sequence[IncomingMessage]
    ) -> Sequence[Outcome]:
        """Raises _StoreAway when the store does not come back, or when this process stops."""
        until = time.monotonic() + _HOLD_SECONDS
        names = [request_id_or_new(str(one.correlation_id or "")) for one in deliveries]
        current_request_id.set(request_id_of_batch(names))
        calling_trace_parents.set([one.trace_parent for one in deliveries if one.trace_parent])
        while True:
            try:
                return self.handle(deliveries)
            except StoreUnavailable:
                # The look for silent servers says so.
                if self._stopping.is_set() or time.monotonic() > until:
                    raise _StoreAway from None
                connection.heartbeat_check()
                # Also read from, else the broker seems to be dead. It gives no more than it may.
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_MAX_WAIT_SECONDS)
            except Exception:  # noqa: BLE001 - one message must not keep all others from being handled
                # Whatever it is: is it the store? Then it raises again.
                self.handle([])
                if len(deliveries) > 1:
                    return [
                        outcome
                        for delivery in deliveries
                        for outcome in self._outcomes(connection, [delivery])
                    ]
                _log.exception("a message of %s could not be handled", self.queue.name)
                return [
                    Answered(INTERNAL_ERROR)
                    if deliveries[0].reply_to
                    else Rejected("internal error")
                ]

    def _dead_letter(self, message: Any, outcome: Rejected) -> Message:
        info = message.delivery_info
        return Message(
            DEAD_LETTERS,
            info["routing_key"],
            without_signatures(body_of(message)[:_KEPT_BODY_BYTES]) if self.keeps_bodies else b"",
            content_type="application/octet-stream",
            headers={"reason": outcome.reason, "exchange": info["exchange"]},
            trace_parent=_trace_parent(message),
        )

    def _tell_once(self, message: Any, reason: str) -> None:
        told = f"{message.delivery_info['routing_key']}: {reason}"
        if told in self._reasons or len(self._reasons) >= _REASONS_REMEMBERED:
            return
        self._reasons.add(told)
        _log.warning("a message went to the dead letters, %s", told)


_CANNOT_BE_READ = Rejected("its properties or headers cannot be read")


def _delivery(message: Any) -> IncomingMessage:
    return IncomingMessage(
        routing_key=message.delivery_info["routing_key"],
        body=body_of(message),
        reply_to=message.properties.get("reply_to"),
        correlation_id=message.properties.get("correlation_id"),
        trace_parent=_trace_parent(message),
    )


def _trace_parent(message: Any) -> str:
    headers = message.properties.get("application_headers") or {}
    return usable_trace_parent(headers.get(TRACE_PARENT))


def _nothing() -> Message:
    """No queue is meant to take it."""
    return Message(_DEFAULT_EXCHANGE, "manman.nobody", b"", must_arrive=False)


def _answer(message: Any, outcome: Answered) -> Message:
    return Message(
        _DEFAULT_EXCHANGE,
        message.properties["reply_to"],
        as_json(outcome.fields),
        correlation_id=message.properties.get("correlation_id"),
        must_arrive=False,
    )
