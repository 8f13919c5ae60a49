"""Status and health messages of hosts, as heartbeats for the use case."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.amqp.batch_consumer import Answered, IncomingMessage, Outcome, Rejected
from adapters.amqp.codec import (
    Malformed,
    capabilities_of,
    fields_of,
    integer_of,
    string_of,
)
from adapters.amqp.errors import error_fields
from adapters.amqp.topology import HEALTH, STATUS
from application.liveness.record_heartbeat import Acknowledged, Heartbeat
from domain.errors import ManManError
from domain.liveness import Status

RecordBatch = Callable[[Sequence[Heartbeat]], Sequence[Acknowledged | ManManError]]


@dataclass(frozen=True)
class HeartbeatHandler:
    """Handles `status.host.ID` and `health.host.ID`.

    An error is the answer if the host waits for one; otherwise the message becomes a dead letter.
    """

    record_heartbeat: RecordBatch

    def __call__(self, messages: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        parsed = [_heartbeat_or_reason(message) for message in messages]
        answers = iter(self.record_heartbeat([one for one in parsed if isinstance(one, Heartbeat)]))
        return [
            _outcome(message, next(answers) if isinstance(one, Heartbeat) else one)
            for message, one in zip(messages, parsed, strict=True)
        ]


def _outcome(message: IncomingMessage, answer: Acknowledged | ManManError | Malformed) -> Outcome:
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
    if message.reply_to:
        return Answered(error_fields(answer))
    return Rejected(str(answer))


def _heartbeat_or_reason(message: IncomingMessage) -> Heartbeat | Malformed:
    try:
        return _heartbeat(message)
    except Malformed as malformed:
        return malformed


def _heartbeat(message: IncomingMessage) -> Heartbeat:
    kind, _, owner = message.routing_key.rpartition(".")
    fields = fields_of(message.body)
    server_id = integer_of(fields, "server_id")
    if str(server_id) != owner:
        raise Malformed(f"server_id is {server_id}, but the routing key names {owner}")
    epoch = integer_of(fields, "epoch")
    credential = string_of(fields, "credential")
    if kind == HEALTH:
        return Heartbeat(server_id, capabilities_of(fields), epoch=epoch, credential=credential)
    assert kind == STATUS
    status = string_of(fields, "status")
    if status not in tuple(Status):
        raise Malformed(f"status must be one of {', '.join(Status)}")
    leaving = status == Status.OFFLINE
    return Heartbeat(server_id, leaving=leaving, epoch=epoch, credential=credential)
