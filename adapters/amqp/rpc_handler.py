"""Requests of hosts over AMQP, passed to the use cases."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.amqp.batch_consumer import Answered, IncomingMessage, Outcome, Rejected
from adapters.amqp.codec import (
    Malformed,
    boolean_of,
    capabilities_of,
    changes_to_fields,
    evidence_of,
    fields_of,
    integer_of,
    labels_of,
    string_of,
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
    """Answers `register.host`, `configuration.host.ID` and `deregister.host.ID`."""

    register_server: Callable[[Registration], Registered]
    fetch_configuration: Callable[[int, str, int, int, str], ConfigurationChanges]
    deregister_server: Callable[[int, str, str, str], None]

    def __call__(self, messages: Sequence[IncomingMessage]) -> Sequence[Outcome]:
        return [self._answer(message) for message in messages]

    def _answer(self, message: IncomingMessage) -> Outcome:
        current_request_id.set(request_id_or_new(str(message.correlation_id or "")))
        calling_trace_parents.set([message.trace_parent] if message.trace_parent else ())
        try:
            fields = fields_of(message.body)
            kind, _, owner = message.routing_key.rpartition(".")
            if message.routing_key == REGISTER:
                return Answered(self._register(fields))
            if kind == DEREGISTER:
                return Answered(self._deregister(fields, owner))
            return Answered(self._fetch(fields))
        except (ManManError, Malformed) as error:
            if message.reply_to:
                return Answered(error_fields(error))
            return Rejected(str(error))

    def _register(self, fields: Mapping[str, Any]) -> Mapping[str, object]:
        registered = self.register_server(
            Registration(
                name=string_of(fields, "name"),
                environment=string_of(fields, "environment"),
                capabilities=capabilities_of(fields),
                registration_key=string_of(fields, "registration_key"),
                evidence=evidence_of(fields),
                labels=labels_of(fields),
                ephemeral=boolean_of(fields, "ephemeral"),
                credential=string_of(fields, "credential"),
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
        server_id = integer_of(fields, "server_id")
        # A contradiction must not delete the wrong server.
        if str(server_id) != owner:
            raise Malformed(f"server_id is {server_id}, but the routing key names {owner}")
        self.deregister_server(
            server_id,
            string_of(fields, "registration_key"),
            string_of(fields, "instance_id"),
            string_of(fields, "credential"),
        )
        return {}

    def _fetch(self, fields: Mapping[str, Any]) -> Mapping[str, object]:
        return changes_to_fields(
            self.fetch_configuration(
                integer_of(fields, "server_id"),
                string_of(fields, "registration_key"),
                integer_of(fields, "known_revision"),
                integer_of(fields, "after_revision"),
                string_of(fields, "credential"),
            )
        )
