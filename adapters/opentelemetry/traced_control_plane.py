from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from opentelemetry.trace import SpanKind

from adapters.opentelemetry.tracing import Tracing
from application.context.trace_context import current_trace_parent
from application.ports.host.control_plane import (
    ConnectedControlPlane,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class TracedControlPlane:
    """Begins a trace with each call. The transport sends its id along."""

    control_plane: ConnectedControlPlane
    tracing: Tracing

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        return self._traced(
            "register",
            lambda: self.control_plane.register(registration_request),
            {"manmanv2.server_name": registration_request.name},
        )

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        return self._traced(
            "leaving heartbeat" if leaving else "heartbeat",
            lambda: self.control_plane.heartbeat(
                server_id, capabilities, epoch=epoch, leaving=leaving
            ),
            {"manmanv2.server_id": server_id},
        )

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        return self._traced(
            "fetch configuration",
            lambda: self.control_plane.fetch_configuration(
                server_id, known_revision, after_revision
            ),
            {"manmanv2.server_id": server_id},
        )

    def deregister(self, server_id: int, instance_id: str) -> None:
        self._traced(
            "deregister",
            lambda: self.control_plane.deregister(server_id, instance_id),
            {"manmanv2.server_id": server_id},
        )

    def close(self) -> None:
        self.control_plane.close()

    def _traced(
        self, name: str, call: Callable[[], Answer], attributes: dict[str, str | int]
    ) -> Answer:
        current_trace_parent.set("")
        trace_parent = ""
        try:
            with self.tracing.span(name, SpanKind.CLIENT, attributes):
                trace_parent = current_trace_parent.get()
                return call()
        except Exception:
            # Log lines after a failure still belong to the call.
            current_trace_parent.set(trace_parent)
            raise
