"""What hosts say over AMQP about themselves, as the use case of every heartbeat takes it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.amqp.batch_consumer import Answered, IncomingMessage, Outcome, Rejected
from adapters.amqp.codec import (
    Malformed,
    capabilities_of,
    fields_of,
    text_of,
    whole_number_of,
)
from adapters.amqp.errors import error_fields
from adapters.amqp.topology import HEALTH, STATUS
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from domain.errors import ManManError
from domain.liveness import Status

RecordBatch = Callable[[Sequence[Heartbeat]], Sequence[Acknowledged | ManManError]]


@dataclass(frozen=True)
class HeartbeatHandler:
    """Status and health of hosts: `status.host.ID` and `health.host.ID`.

    Who waits for an answer is told what is wrong; without anybody who waits it is a dead letter.
    """

    record_heartbeat: RecordBatch

    def __call__(self, deliveries: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        read = [_heartbeat_or_reason(delivery) for delivery in deliveries]
        answers = iter(
            self.record_heartbeat([found for found in read if isinstance(found, Heartbeat)])
        )
        return [
            _outcome(delivery, next(answers) if isinstance(found, Heartbeat) else found)
            for delivery, found in zip(deliveries, read, strict=True)
        ]


def _outcome(delivery: IncomingMessage, answer: Acknowledged | ManManError | Malformed) -> Outcome:
    if isinstance(answer, Acknowledged):
        return Answered(
            {
                "acknowledged": True,
                "next_heartbeat_seconds": int(answer.next_heartbeat.total_seconds()),
                "config_revision": answer.config_revision,
                "approval": answer.approval,
                "credential": answer.credential,
            }
        )
    if delivery.reply_to:
        return Answered(error_fields(answer))
    return Rejected(str(answer))


def _heartbeat_or_reason(delivery: IncomingMessage) -> Heartbeat | Malformed:
    try:
        return _heartbeat(delivery)
    except Malformed as malformed:
        return malformed


def _heartbeat(delivery: IncomingMessage) -> Heartbeat:
    kind, _, owner = delivery.routing_key.rpartition(".")
    fields = fields_of(delivery.body)
    server_id = whole_number_of(fields, "server_id")
    if str(server_id) != owner:
        raise Malformed(f"server_id is {server_id}, the routing key says {owner}")
    epoch = whole_number_of(fields, "epoch")
    credential = text_of(fields, "credential")
    if kind == HEALTH:
        return Heartbeat(server_id, capabilities_of(fields), epoch=epoch, credential=credential)
    assert kind == STATUS
    status = text_of(fields, "status")
    if status not in tuple(Status):
        raise Malformed(f"status must be one of {', '.join(Status)}")
    leaving = status == Status.OFFLINE
    return Heartbeat(server_id, leaving=leaving, epoch=epoch, credential=credential)
