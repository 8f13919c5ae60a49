"""The traces that a host begins."""

from typing import Any

import pytest

from adapters.opentelemetry.traced_control_plane import TracedControlPlane
from application.context.trace_context import current_trace_parent
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from domain.errors import InvalidRegistrationKey
from tests.support.fakes import FakeControlPlane
from tests.support.traced import Traced, failed, identity, parent


@pytest.mark.parametrize(
    "error", [ControlPlaneUnavailable("The API is unavailable"), InvalidRegistrationKey()]
)
def test_log_lines_after_a_failed_call_of_a_host_belong_to_its_trace(
    traced: Traced, error: Exception
) -> None:
    control_plane: Any = FakeControlPlane(registering=[error])
    host = TracedControlPlane(control_plane, traced.tracing)
    with pytest.raises(type(error)):
        host.register(RegistrationRequest(name="box"))
    [first] = traced.spans

    assert failed(first)
    assert tuple(current_trace_parent.get().split("-")[1:3]) == identity(first)
    host.register(RegistrationRequest(name="box"))
    assert current_trace_parent.get() == ""
    assert parent(traced.spans[1]) == ""
