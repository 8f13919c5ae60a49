"""Whether this process traces, and to where."""

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from entrypoints.settings import VERSION, ServiceSettings

if TYPE_CHECKING:
    from adapters.opentelemetry.tracing import Tracing

_log = logging.getLogger(__name__)


def warn_if_nothing_can_be_traced(settings: ServiceSettings) -> None:
    """Once a command, however many processes it has."""
    if settings.collector and not _is_installed():
        _log.warning(
            "%s is set, but OpenTelemetry is not installed, so nothing is traced: install"
            " manmanv2[otel], or unset it",
            settings.collector.variable,
        )


def make_tracing(settings: ServiceSettings, service: str) -> "Tracing | None":
    """None when nothing is to be traced, or nothing can be."""
    collector = settings.collector
    if not collector or not _is_installed():
        return None
    from adapters.opentelemetry.collector import tracing_to_collector

    try:
        return tracing_to_collector(collector.url, collector.variable, service, VERSION)
    except ValueError as error:
        # Who watches must not stop what works.
        _log.warning("nothing is traced, because a variable OTEL_… makes no sense: %s", error)
        return None


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
