from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from opentelemetry.trace import SpanKind

from adapters.opentelemetry.tracing import Tracing
from application.ports.control_plane import ConnectedControlPlane, Heard, Joined
from application.trace_context import current_trace_parent
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class TracedControlPlane:
    """Begins a trace with each call. The transport sends it along."""

    control_plane: ConnectedControlPlane
    tracing: Tracing

    def register(self, name: str, environment: str, capabilities: Capabilities) -> Joined:
        return self._traced(
            "register",
            lambda: self.control_plane.register(name, environment, capabilities),
            {"manmanv2.server_name": name},
        )

    def heartbeat(
        self, server_id: int, capabilities: Capabilities | None, *, leaving: bool = False
    ) -> Heard:
        return self._traced(
            "farewell" if leaving else "heartbeat",
            lambda: self.control_plane.heartbeat(server_id, capabilities, leaving=leaving),
            {"manmanv2.server_id": server_id},
        )

    def fetch_configuration(self, server_id: int, known_revision: int) -> ConfigurationChanges:
        return self._traced(
            "fetch configuration",
            lambda: self.control_plane.fetch_configuration(server_id, known_revision),
            {"manmanv2.server_id": server_id},
        )

    def close(self) -> None:
        self.control_plane.close()

    def _traced(
        self, name: str, call: Callable[[], Answer], attributes: dict[str, str | int]
    ) -> Answer:
        current_trace_parent.set("")
        of_this_call = ""
        try:
            with self.tracing.span(name, SpanKind.CLIENT, attributes):
                of_this_call = current_trace_parent.get()
                return call()
        except Exception:
            # What is logged after a failure still belongs to the call.
            current_trace_parent.set(of_this_call)
            raise
