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

# A healthy broker needs no longer; a connection that is silent for twice as long is closed.
_HEARTBEAT_SECONDS = 10
# How long a stop, a due AMQP heartbeat or a recovered store may go unnoticed.
_MAX_WAIT_SECONDS = 0.5
# How often it checks whether hosts can publish at all.
_PROBE_SECONDS = 5.0
# How long it holds messages while the store is away, before other processes may take them.
_HOLD_SECONDS = 10.0
# How much of a body a dead letter keeps: enough to recognise it.
_MAX_DEAD_LETTER_BYTES = 64 * 1024
_DEFAULT_EXCHANGE = Exchange("")
_MAX_LOGGED_REASONS = 1000


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message from a queue. `reply_to` is None if the sender does not wait for an answer."""

    routing_key: str
    body: bytes = field(repr=False)
    reply_to: str | None = None
    correlation_id: str | None = None
    trace_parent: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The message was handled. `fields` is the answer, or the error, for the sender."""

    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The message is invalid. It becomes a dead letter, which operators can inspect."""

    reason: str


Outcome = Answered | Rejected
Handle = Callable[[Sequence[IncomingMessage]], Sequence[Outcome]]


class _StoreAway(Exception):
    """The store did not come back in time, or this process stops."""


@dataclass
class BatchConsumer:
    """Consumes a queue in batches, until `stop`.

    Acknowledges a message after `handle` has returned, so after the commit. Then it sends the
    answers. Rejected messages go to the dead letters first, with the reason. While the store is
    away, it holds messages for a while, then leaves them in the queue for another process. After
    any failure of the broker or the queue, it connects and declares the queue again.

    `handle` of an empty batch checks the store: it raises if the store does not work.
    """

    broker: Broker
    queue: Queue
    handle: Handle
    # Called repeatedly with whether messages of hosts can arrive.
    on_listening: Callable[[bool], None] = lambda _: None
    # Whether dead letters keep their bodies. A body may contain a key.
    keep_bodies: bool = True
    max_batch_size: int = 500
    # What the messages are, for the log; by default it names the queue.
    content: str = ""
    # A short wait, as for heartbeats over gRPC, makes batches larger.
    gather_seconds: float = 0.01
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)
    # A connection of its own: a broker that is short of memory stops reading from connections that
    # publish, and must continue to deliver to this one.
    _publisher: Publisher = field(init=False)
    _failure_log: TransientFailureLog = field(init=False)
    _logged_reasons: set[str] = field(init=False, default_factory=set)
    _failures_in_a_row: int = field(init=False, default=0)
    _was_listening: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._publisher = Publisher(self.broker)
        self.content = self.content or f"messages from {self.queue.name}"
        self._failure_log = TransientFailureLog(_log, f"Listening for {self.content} again.")

    def run(self) -> None:
        """Returns once `stop` was called."""
        with closing(self._publisher):
            while not self._stopping.is_set():
                current_request_id.set("")
                self.on_listening(False)
                try:
                    self.handle([])
                    with self.broker.connected(_HEARTBEAT_SECONDS) as connection:
                        self._listen(connection)
                except BrokerUnavailable as error:
                    self._failure_log.failed(
                        f"{error} Messages to {self.queue.name} wait until it is back."
                    )
                except (StoreUnavailable, StoreFailed, _StoreAway):
                    self._failure_log.failed(
                        f"The store is away: messages to {self.queue.name} wait until it is back."
                    )
                except Exception:  # noqa: BLE001 - the consumer must recover from any error
                    _log.exception("messages from %s could not be handled", self.queue.name)
                if not self._stopping.is_set():
                    self._failures_in_a_row += 1
                    self._stopping.wait(
                        retry_delay(self._failures_in_a_row, random.random())  # nosec B311  # noqa: S311 - no secret
                    )
            self.on_listening(False)

    def stop(self) -> None:
        """Finish the current batch and leave the other messages in the queue."""
        self._stopping.set()

    def _listen(self, connection: Connection) -> None:
        channel = connection.channel()
        declare_exchanges(channel)
        self.queue(channel).declare()
        channel.basic_qos(0, self.max_batch_size, False)
        arrived: deque[Any] = deque()
        # kombu's own consumer would decompress a message to any size, and close the connection for
        # a message that it cannot decompress.
        channel.basic_consume(self.queue.name, callback=arrived.append)
        next_probe = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_probe:
                next_probe = time.monotonic() + _PROBE_SECONDS
                self._probe_publish()
            connection.heartbeat_check()
            self._gather(connection, arrived)
            while arrived and not self._stopping.is_set():
                batch = [arrived.popleft() for _ in range(min(len(arrived), self.max_batch_size))]
                self._settle(connection, channel, batch)

    def _probe_publish(self) -> None:
        """Check that the broker accepts messages: it does not while it lacks memory or disk."""
        self._publisher.publish([_probe_message()])
        if not self._was_listening:
            self._was_listening = True
            _log.info("Listening for %s.", self.content)
        self._failure_log.recovered()
        self._failures_in_a_row = 0
        self.on_listening(True)

    def _gather(self, connection: Connection, arrived: deque[Any]) -> None:
        wait = _MAX_WAIT_SECONDS
        deadline = None
        while len(arrived) < self.max_batch_size:
            try:
                connection.drain_events(timeout=wait)
            except TimeoutError:
                return
            if arrived:
                deadline = deadline or time.monotonic() + self.gather_seconds
                wait = deadline - time.monotonic()
                if wait <= 0:
                    return

    def _settle(self, connection: Connection, channel: Any, batch: Sequence[Any]) -> None:
        readable = [message for message in batch if UNREADABLE not in message.properties]
        outcomes = iter(self._outcomes(connection, [_incoming(message) for message in readable]))
        # What is logged from here on belongs to no request.
        current_request_id.set("")
        settled = [
            (
                message,
                _UNREADABLE_MESSAGE if UNREADABLE in message.properties else next(outcomes),
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
            self._log_once(message, one.reason)

    def _outcomes(
        self, connection: Connection, messages: Sequence[IncomingMessage]
    ) -> Sequence[Outcome]:
        """Raises _StoreAway if the store does not come back, or if this process stops."""
        deadline = time.monotonic() + _HOLD_SECONDS
        ids = [request_id_or_new(str(one.correlation_id or "")) for one in messages]
        current_request_id.set(request_id_of_batch(ids))
        calling_trace_parents.set([one.trace_parent for one in messages if one.trace_parent])
        while True:
            try:
                return self.handle(messages)
            except StoreUnavailable:
                # The sweep for silent servers logs that the store is away.
                if self._stopping.is_set() or time.monotonic() > deadline:
                    raise _StoreAway from None
                connection.heartbeat_check()
                # Read as well, or the connection seems dead. The prefetch limits what arrives.
                with suppress(TimeoutError):
                    connection.drain_events(timeout=_MAX_WAIT_SECONDS)
            except Exception:  # noqa: BLE001 - one message must not block all others
                # If the store caused the error, this raises it again.
                self.handle([])
                if len(messages) > 1:
                    return [
                        outcome
                        for message in messages
                        for outcome in self._outcomes(connection, [message])
                    ]
                _log.exception("a message from %s could not be handled", self.queue.name)
                return [
                    Answered(INTERNAL_ERROR) if messages[0].reply_to else Rejected("internal error")
                ]

    def _dead_letter(self, message: Any, outcome: Rejected) -> Message:
        info = message.delivery_info
        return Message(
            DEAD_LETTERS,
            info["routing_key"],
            without_signatures(body_of(message)[:_MAX_DEAD_LETTER_BYTES])
            if self.keep_bodies
            else b"",
            content_type="application/octet-stream",
            headers={"reason": outcome.reason, "exchange": info["exchange"]},
            trace_parent=_trace_parent(message),
        )

    def _log_once(self, message: Any, reason: str) -> None:
        entry = f"{message.delivery_info['routing_key']}: {reason}"
        if entry in self._logged_reasons or len(self._logged_reasons) >= _MAX_LOGGED_REASONS:
            return
        self._logged_reasons.add(entry)
        _log.warning("a message became a dead letter, %s", entry)


_UNREADABLE_MESSAGE = Rejected("its properties or headers cannot be read")


def _incoming(message: Any) -> IncomingMessage:
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


def _probe_message() -> Message:
    """A message that no queue takes."""
    return Message(_DEFAULT_EXCHANGE, "manman.nobody", b"", must_arrive=False)


def _answer(message: Any, outcome: Answered) -> Message:
    return Message(
        _DEFAULT_EXCHANGE,
        message.properties["reply_to"],
        as_json(outcome.fields),
        correlation_id=message.properties.get("correlation_id"),
        must_arrive=False,
    )
