"""The current trace, in the terms of https://www.w3.org/TR/trace-context/."""

import re
from collections.abc import Sequence
from contextvars import ContextVar

# The name of its header, in gRPC metadata and in AMQP headers alike.
TRACE_PARENT = "traceparent"

# The traceparent of the current work, empty while nothing is traced. Set by the tracing adapters;
# read by the log, by senders of messages and by the outbox.
current_trace_parent: ContextVar[str] = ContextVar("current_trace_parent", default="")

# The traceparents of the callers whose calls are about to be done as one batch. Set by the code
# that forms the batch; read by the tracing adapters.
calling_trace_parents: ContextVar[Sequence[str]] = ContextVar("calling_trace_parents", default=())

_USABLE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def usable_trace_parent(header: object) -> str:
    """The caller's traceparent, empty if it is not valid."""
    return header if isinstance(header, str) and _USABLE.fullmatch(header) else ""
