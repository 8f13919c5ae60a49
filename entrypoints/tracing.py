"""Whether this process traces, and where it sends its traces."""

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from entrypoints.settings import VERSION, ServiceSettings

if TYPE_CHECKING:
    from adapters.opentelemetry.tracing import Tracing

_log = logging.getLogger(__name__)


def warn_if_tracing_is_impossible(settings: ServiceSettings) -> None:
    """Log once per command, however many processes it has."""
    if settings.collector and not _is_installed():
        _log.warning(
            "%s is set, but OpenTelemetry is not installed, so tracing is off: install"
            " manmanv2[otel], or unset %s",
            settings.collector.variable,
            settings.collector.variable,
        )


def make_tracing(settings: ServiceSettings, service: str) -> "Tracing | None":
    """None if tracing is off, or impossible."""
    collector = settings.collector
    if not collector or not _is_installed():
        return None
    from adapters.opentelemetry.collector import tracing_to_collector

    try:
        return tracing_to_collector(collector.url, collector.variable, service, VERSION)
    except ValueError as error:
        # Tracing must not stop the service.
        _log.warning("Tracing is off, because a variable OTEL_… has an invalid value: %s", error)
        return None


def _is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
