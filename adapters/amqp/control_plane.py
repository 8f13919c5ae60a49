import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from kombu import Consumer, Queue

from adapters.amqp.broker import Broker
from adapters.amqp.channel import ConfirmChannel, ReusableChannel
from adapters.amqp.codec import (
    MAX_ANSWER_BYTES,
    Malformed,
    as_json,
    capabilities_to_fields,
    changes_of,
    evidence_to_fields,
    fields_of,
    integer_of,
    string_of,
)
from adapters.amqp.errors import raise_error_of
from adapters.amqp.outgoing import Message, body_of
from adapters.amqp.topology import (
    CONFIGURATION,
    DEREGISTER,
    HEALTH,
    MANMAN,
    REGISTER,
    STATUS,
)
from application.context.request_id import current_request_id, new_request_id
from application.host.key_ring import KeyRing
from application.ports.broker import BrokerUnavailable
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from domain.approval import parse_approval
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.errors import CredentialRequired, ServerNotFound
from domain.liveness import Status, parse_interval

Answer = TypeVar("Answer")

# A feature of RabbitMQ: answers go directly to the connection that asked, without a queue.
_ANSWERS = Queue("amq.rabbitmq.reply-to", no_declare=True)


@dataclass
class AmqpControlPlane:
    """The control plane over AMQP: requests to the exchange `manman`, answers directly back.

    An answer means the same as over gRPC: the request is done and durable. Times are upper bounds
    for one call, in seconds; the broker drops a request that nobody took in that time. After a
    failed call its connection is discarded.
    """

    broker: Broker
    keys: KeyRing
    call_seconds: float = 5.0
    leave_timeout: float = 2.0
    _conversation: "ReusableChannel[_Conversation]" = field(init=False)

    def __post_init__(self) -> None:
        self._conversation = ReusableChannel(self.broker, _Conversation)

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        fields: dict[str, object] = {
            "name": registration_request.name,
            "environment": registration_request.environment,
            # Sent even if empty, because absent labels would keep those of an earlier start.
            "labels": dict(registration_request.labels),
            "ephemeral": registration_request.ephemeral,
            "evidence": evidence_to_fields(registration_request.evidence),
        }
        if registration_request.capabilities:
            fields["capabilities"] = capabilities_to_fields(registration_request.capabilities)
        return self._ask_with_key(REGISTER, fields, _registration_result)

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        if leaving:
            return self.status(server_id, Status.OFFLINE, epoch=epoch, seconds=self.leave_timeout)
        fields: dict[str, object] = {
            "server_id": server_id,
            "epoch": epoch,
            "credential": self.keys.credential,
        }
        if capabilities:
            fields["capabilities"] = capabilities_to_fields(capabilities)
        return self._ask(f"{HEALTH}.{server_id}", fields, _heartbeat_result, server_id)

    def status(
        self, server_id: int, status: Status, *, epoch: int = 0, seconds: float | None = None
    ) -> HeartbeatResult:
        """Raises CredentialRequired, ServerNotFound, NotAdmitted and SupersededRegistration."""
        fields = {
            "server_id": server_id,
            "status": status,
            "epoch": epoch,
            "credential": self.keys.credential,
        }
        return self._ask(f"{STATUS}.{server_id}", fields, _heartbeat_result, server_id, seconds)

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        fields = {
            "server_id": server_id,
            "known_revision": known_revision,
            "after_revision": after_revision,
        }
        return self._ask_with_key(f"{CONFIGURATION}.{server_id}", fields, changes_of, server_id)

    def deregister(self, server_id: int, instance_id: str) -> None:
        fields = {"server_id": server_id, "instance_id": instance_id}
        self._ask_with_key(f"{DEREGISTER}.{server_id}", fields, lambda _: None, server_id)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._conversation.close()

    def _ask_with_key(
        self,
        routing_key: str,
        fields: Mapping[str, object],
        parse: Callable[[Mapping[str, Any]], Answer],
        server_id: int | None = None,
    ) -> Answer:
        with_credential = {**fields, "credential": self.keys.credential}
        return self.keys.try_each(
            lambda key: self._ask(
                routing_key, {**with_credential, "registration_key": key}, parse, server_id
            )
        )

    def _ask(
        self,
        routing_key: str,
        fields: Mapping[str, object],
        parse: Callable[[Mapping[str, Any]], Answer],
        server_id: int | None = None,
        seconds: float | None = None,
    ) -> Answer:
        timeout = seconds or self.call_seconds
        current_request_id.set(new_request_id())
        request = Message(
            MANMAN,
            routing_key,
            as_json(fields),
            reply_to=_ANSWERS.name,
            correlation_id=current_request_id.get(),
            # A leaving heartbeat expires too: after a restart of the host it would be wrong.
            expires_after=timeout,
        )
        try:
            body = self._conversation.use(
                lambda conversation: conversation.answer_to(request, timeout)
            )
            answer = fields_of(body, MAX_ANSWER_BYTES)
            raise_error_of(answer, server_id)
            parsed = parse(answer)
            # After a failure the request id stays, because what is logged then belongs to the
            # request.
            current_request_id.set("")
            return parsed
        except BrokerUnavailable as error:
            raise ControlPlaneUnavailable.of(error.diagnosis) from error
        except Malformed as malformed:
            raise ControlPlaneRefused(
                f"The control plane sent an invalid answer, {malformed}",
                "check that it is not older than this host manager",
            ) from None


class _Conversation:
    """Sends one request at a time and waits for its answer."""

    def __init__(self, opened: ConfirmChannel) -> None:
        self._opened = opened
        self._answers: dict[str, bytes] = {}
        consumer = Consumer(
            opened.channel,
            [_ANSWERS],
            on_message=self._on_answer,
            no_ack=True,
            auto_declare=False,
        )
        consumer.consume()

    def answer_to(self, request: Message, timeout: float) -> bytes:
        """Raises ControlPlaneUnavailable if the broker works and no API answers."""
        assert request.correlation_id
        self._answers.clear()
        deadline = time.monotonic() + timeout
        self._opened.send(request, deadline)
        while request.correlation_id not in self._answers:
            if self._opened.was_returned:
                raise ControlPlaneUnavailable(
                    "The broker (RABBITMQ_URL) has no API that listens for messages",
                    "start one with the same RABBITMQ_URL, including the virtual host",
                )
            try:
                self._opened.receive(deadline)
            except TimeoutError:
                if not self._opened.all_confirmed:
                    raise
                raise ControlPlaneUnavailable(
                    "The broker (RABBITMQ_URL) accepted the message, but no API answers",
                    "check that one runs with the same RABBITMQ_URL and that its database answers",
                ) from None
        return self._answers[request.correlation_id]

    def _on_answer(self, message: Any) -> None:
        # The answer to an earlier call may arrive late, so answers are kept by id.
        self._answers[str(message.properties.get("correlation_id"))] = body_of(message)


@dataclass
class LegacyControlPlane:
    """For a host with a SERVER_ID: it reports its status and health over AMQP, and never registers
    or fetches configuration."""

    over_amqp: AmqpControlPlane
    server_id: int

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        """Only reports that the host is online. Raises ControlPlaneRefused if no server has this
        id, or if the API requires a credential."""
        try:
            self.over_amqp.status(self.server_id, Status.ONLINE)
            heartbeat_result = self.over_amqp.heartbeat(
                self.server_id, registration_request.capabilities
            )
        except ServerNotFound:
            raise ControlPlaneRefused(
                f"No server has the id {self.server_id} (SERVER_ID)",
                "set it to an id from `manmanv2 servers list`, or unset it to register",
            ) from None
        except CredentialRequired:
            raise ControlPlaneRefused(
                "The API requires each host's own credential (ENFORCEMENT), which a host with a"
                " SERVER_ID does not have",
                "unset SERVER_ID to register",
            ) from None
        return RegistrationResult(
            self.server_id,
            heartbeat_result.next_heartbeat,
            config_revision=0,
            approval=heartbeat_result.approval,
        )

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        heartbeat_result = self.over_amqp.heartbeat(server_id, capabilities, leaving=leaving)
        return replace(heartbeat_result, config_revision=0)

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        raise ControlPlaneRefused(
            "A host with a SERVER_ID cannot fetch configuration", "unset SERVER_ID to register"
        )

    def deregister(self, server_id: int, instance_id: str) -> None:
        raise ControlPlaneRefused(
            "A host with a SERVER_ID cannot deregister", "it has no registration"
        )

    def close(self) -> None:
        self.over_amqp.close()


def _registration_result(answer: Mapping[str, Any]) -> RegistrationResult:
    return RegistrationResult(
        server_id=integer_of(answer, "server_id"),
        next_heartbeat=parse_interval(integer_of(answer, "next_heartbeat_seconds")),
        config_revision=integer_of(answer, "config_revision"),
        name=string_of(answer, "name"),
        epoch=integer_of(answer, "epoch"),
        approval=parse_approval(string_of(answer, "approval")),
        credential=string_of(answer, "credential"),
    )


def _heartbeat_result(answer: Mapping[str, Any]) -> HeartbeatResult:
    return HeartbeatResult(
        parse_interval(integer_of(answer, "next_heartbeat_seconds")),
        integer_of(answer, "config_revision"),
        parse_approval(string_of(answer, "approval")),
        string_of(answer, "credential"),
    )
