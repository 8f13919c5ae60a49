from collections.abc import Sequence
from datetime import UTC

from adapters.amqp.codec import as_json
from adapters.amqp.outgoing import Message
from adapters.amqp.publisher import Publisher
from adapters.amqp.topology import EVENT, EXTERNAL
from application.ports.store.outbox import RecordedEvent


class AmqpEvents:
    """Events go to the exchange `external`, as `manman.host.KIND`.

    A subscriber binds a queue of its own. An event that no queue takes has no subscriber.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def publish(self, events: Sequence[RecordedEvent]) -> None:
        self._publisher.publish([_message(event) for event in events])


def _message(event: RecordedEvent) -> Message:
    return Message(
        EXTERNAL,
        f"{EVENT}.{event.kind}",
        as_json(
            {
                "event": event.kind,
                "server_id": event.server_id,
                "name": event.name,
                "environment": event.environment,
                "status": event.status,
                "config_revision": event.config_revision,
                "at": event.at.astimezone(UTC).isoformat(timespec="milliseconds"),
                "cause": event.cause,
            }
        ),
        message_id=event.message_id,
        sent_at=event.at,
        trace_parent=event.trace_parent,
        must_arrive=False,
    )
