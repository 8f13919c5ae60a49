import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from requests.exceptions import SSLError

from adapters.opentelemetry.tracing import Tracing
from application.host.transient_failure_log import TransientFailureLog

_log = logging.getLogger(__name__)


def tracing_to_collector(url: str, variable: str, service: str, version: str) -> Tracing:
    """Sends spans as protobuf over HTTP to the collector at the URL, which the variable sets.

    Raises ValueError for an invalid OTEL_* variable.
    """
    _limit_library_logs()
    return Tracing(BatchSpanProcessor(_Collector(url, variable)), service, version)


class _Collector(SpanExporter):
    """Logs once that the collector does not accept spans, and once that it does again."""

    def __init__(self, url: str, variable: str) -> None:
        self._session = _Session()
        self._exporter = OTLPSpanExporter(url, session=self._session)
        # Without user and password.
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        self._variable = variable
        self._failures = TransientFailureLog(_log, "the collector accepts spans again")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._failures.recovered()
        else:
            self._failures.failed(
                f"The collector at {self._address} ({self._variable}) {self._session.problem}."
                " Spans are dropped until it accepts them."
            )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Session(requests.Session):
    """Records why a request failed, which the exporter only logs."""

    problem = "was sent nothing"

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **options)
        except SSLError:
            self.problem = "has no trusted certificate: set OTEL_EXPORTER_OTLP_CERTIFICATE"
            raise
        except Exception:
            self.problem = "cannot be reached: check that it runs and accepts OTLP over HTTP there"
            raise
        self.problem = (
            f"answers with HTTP status {response.status_code}: check that it accepts OTLP over HTTP"
            f" at {urlsplit(response.url).path}"
        )
        return response


class _OnceFilter(logging.Handler):
    """Passes on each message of the library once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self._seen:
            self._seen.add(record.msg)
            logging.getLogger().handle(record)


def _limit_library_logs() -> None:
    """The library would log every batch that it cannot send, and every span that it drops."""
    logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.CRITICAL)
    library = logging.getLogger("opentelemetry")
    library.handlers = [_OnceFilter()]
    library.propagate = False
