"""What hosts ask over AMQP, as the use cases take it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.amqp.batch_consumer import Answered, IncomingMessage, Outcome, Rejected
from adapters.amqp.codec import (
    Malformed,
    capabilities_of,
    changes_to_fields,
    evidence_of,
    fields_of,
    labels_of,
    text_of,
    truth_of,
    whole_number_of,
)
from adapters.amqp.errors import error_fields
from adapters.amqp.topology import DEREGISTER, REGISTER
from application.context.request_id import current_request_id, request_id_or_new
from application.context.trace_context import calling_trace_parents
from application.registration.register_server import Registered, Registration
from domain.configuration import ConfigurationChanges
from domain.errors import ManManError


@dataclass(frozen=True)
class RpcHandler:
    """`register.host`, `configuration.host.ID` and `deregister.host.ID`, each with an answer."""

    register_server: Callable[[Registration], Registered]
    fetch_configuration: Callable[[int, str, int, int, str], ConfigurationChanges]
    deregister_server: Callable[[int, str, str, str], None]

    def __call__(self, deliveries: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        return [self._answer(delivery) for delivery in deliveries]

    def _answer(self, delivery: IncomingMessage) -> Outcome:
        current_request_id.set(request_id_or_new(str(delivery.correlation_id or "")))
        calling_trace_parents.set([delivery.trace_parent] if delivery.trace_parent else ())
        try:
            fields = fields_of(delivery.body)
            kind, _, owner = delivery.routing_key.rpartition(".")
            if delivery.routing_key == REGISTER:
                return Answered(self._register(fields))
            if kind == DEREGISTER:
                return Answered(self._deregister(fields, owner))
            return Answered(self._fetch(fields))
        except (ManManError, Malformed) as error:
            if delivery.reply_to:
                return Answered(error_fields(error))
            return Rejected(str(error))

    def _register(self, fields: Mapping[str, Any]) -> Mapping[str, object]:
        registered = self.register_server(
            Registration(
                name=text_of(fields, "name"),
                environment=text_of(fields, "environment"),
                capabilities=capabilities_of(fields),
                registration_key=text_of(fields, "registration_key"),
                evidence=evidence_of(fields),
                labels=labels_of(fields),
                ephemeral=truth_of(fields, "ephemeral"),
                credential=text_of(fields, "credential"),
            )
        )
        server = registered.server
        return {
            "server_id": server.server_id,
            "name": server.name,
            "next_heartbeat_seconds": int(registered.next_heartbeat.total_seconds()),
            "config_revision": registered.config_revision,
            "epoch": server.epoch,
            "approval": server.approval,
            "credential": registered.credential,
        }

    def _deregister(self, fields: Mapping[str, Any], owner: str) -> Mapping[str, object]:
        server_id = whole_number_of(fields, "server_id")
        # Nobody is to be deleted by mistake.
        if str(server_id) != owner:
            raise Malformed(f"server_id is {server_id}, the routing key says {owner}")
        self.deregister_server(
            server_id,
            text_of(fields, "registration_key"),
            text_of(fields, "instance_id"),
            text_of(fields, "credential"),
        )
        return {}

    def _fetch(self, fields: Mapping[str, Any]) -> Mapping[str, object]:
        return changes_to_fields(
            self.fetch_configuration(
                whole_number_of(fields, "server_id"),
                text_of(fields, "registration_key"),
                whole_number_of(fields, "known_revision"),
                whole_number_of(fields, "after_revision"),
                text_of(fields, "credential"),
            )
        )
