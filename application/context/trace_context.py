"""The trace that is being worked on, in the words of https://www.w3.org/TR/trace-context/."""

import re
from collections.abc import Sequence
from contextvars import ContextVar

# What it is called beside a message, over gRPC and AMQP alike.
TRACE_PARENT = "traceparent"

# The traceparent of what is being done, empty while nothing is traced. Set by who traces; read by
# who writes a log line, sends a message or records an event.
current_trace_parent: ContextVar[str] = ContextVar("current_trace_parent", default="")

# Those of the callers for whom something is about to be done at once. Set by who takes what they
# ask for; read by who traces.
calling_trace_parents: ContextVar[Sequence[str]] = ContextVar("calling_trace_parents", default=())

_USABLE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def usable_trace_parent(given: object) -> str:
    """What a caller says its traceparent is, empty unless it is one."""
    return given if isinstance(given, str) and _USABLE.fullmatch(given) else ""
