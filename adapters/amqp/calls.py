"""What hosts ask over AMQP, as the use cases take it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.amqp.errors import error_fields
from adapters.amqp.inbox import Answered, Delivery, Outcome, Rejected
from adapters.amqp.messages import (
    Malformed,
    capabilities_of,
    changes_to_fields,
    fields_of,
    text_of,
    whole_number_of,
)
from adapters.amqp.topology import REGISTER
from application.register_server import Registered, Registration
from application.request_id import current_request_id, request_id_or_new
from application.trace_context import calling_trace_parents
from domain.configuration import ConfigurationChanges
from domain.errors import ManManError


@dataclass(frozen=True)
class Calls:
    """`register.host` and `configuration.host.ID`, each with an answer."""

    register_server: Callable[[Registration], Registered]
    fetch_configuration: Callable[[int, str, int], ConfigurationChanges]

    def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        return [self._answer(delivery) for delivery in deliveries]

    def _answer(self, delivery: Delivery) -> Outcome:
        current_request_id.set(request_id_or_new(str(delivery.correlation_id or "")))
        calling_trace_parents.set([delivery.trace_parent] if delivery.trace_parent else ())
        try:
            fields = fields_of(delivery.body)
            if delivery.routing_key == REGISTER:
                return Answered(self._register(fields))
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
            )
        )
        return {
            "server_id": registered.server.server_id,
            "next_heartbeat_seconds": int(registered.next_heartbeat.total_seconds()),
            "config_revision": registered.server.config_revision,
        }

    def _fetch(self, fields: Mapping[str, Any]) -> Mapping[str, object]:
        return changes_to_fields(
            self.fetch_configuration(
                whole_number_of(fields, "server_id"),
                text_of(fields, "registration_key"),
                whole_number_of(fields, "known_revision"),
            )
        )
