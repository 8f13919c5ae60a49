import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kombu import Exchange, Producer

from application.context.trace_context import TRACE_PARENT, current_trace_parent

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the broker, which drops it if nobody takes it for `expires_after` seconds."""

    exchange: Exchange
    routing_key: str
    body: bytes
    content_type: str = JSON
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    headers: Mapping[str, str] = field(default_factory=dict)
    trace_parent: str = field(default_factory=current_trace_parent.get)
    # The queue for the answer, and the id that the answer repeats.
    reply_to: str | None = None
    correlation_id: str | None = None
    expires_after: float | None = None
    # Whether it is an error if no queue takes the message.
    must_arrive: bool = True


def send(channel: Any, message: Message, seconds: float) -> None:
    """Write the message to the connection. Returns before the broker confirms it."""
    headers = dict(message.headers)
    if message.trace_parent:
        headers[TRACE_PARENT] = message.trace_parent
    Producer(channel, auto_declare=False).publish(
        message.body,
        exchange=message.exchange.name,
        routing_key=message.routing_key,
        content_type=message.content_type,
        content_encoding="utf-8" if message.content_type == JSON else "binary",
        headers=headers,
        message_id=message.message_id,
        timestamp=int(message.sent_at.timestamp()),
        reply_to=message.reply_to,
        correlation_id=message.correlation_id,
        expiration=message.expires_after,
        mandatory=message.must_arrive,
        timeout=seconds,
    )


def body_of(received: Any) -> bytes:
    """The body of a kombu message as bytes. kombu decodes it if the sender names an encoding."""
    body = received.body
    return body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
