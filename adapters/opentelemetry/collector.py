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


def collected_traces(url: str, variable: str, service: str, version: str) -> Tracing:
    """Spans go to the collector at the URL, which the variable gave, over HTTP as protobuf.

    Raises ValueError for an OTEL_* variable that makes no sense.
    """
    _quieten_the_library()
    return Tracing(BatchSpanProcessor(_Collector(url, variable)), service, version)


class _Collector(SpanExporter):
    """Tells once that the collector takes no spans, and once that it does again."""

    def __init__(self, url: str, variable: str) -> None:
        self._session = _Session()
        self._exporter = OTLPSpanExporter(url, session=self._session)
        # Without a password that stands before it.
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        self._variable = variable
        self._trouble = TransientFailureLog(_log, "the collector takes spans again")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._trouble.recovered()
        else:
            self._trouble.failed(
                f"The collector at {self._address} ({self._variable}) {self._session.trouble}."
                " Spans are dropped until it takes them."
            )
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Session(requests.Session):
    """The exporter tells nobody but its log why it failed."""

    trouble = "was sent nothing"

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        try:
            response = super().request(*arguments, **options)
        except SSLError:
            self.trouble = "has no certificate that is trusted: set OTEL_EXPORTER_OTLP_CERTIFICATE"
            raise
        except Exception:
            self.trouble = "cannot be reached: check that it runs and takes OTLP over HTTP there"
            raise
        self.trouble = (
            f"answers with HTTP status {response.status_code}: check that it takes OTLP over HTTP"
            f" at {urlsplit(response.url).path}"
        )
        return response


class _OnceFilter(logging.Handler):
    """Hands on what the library says, of each kind the first."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg not in self._said:
            self._said.add(record.msg)
            logging.getLogger().handle(record)


def _quieten_the_library() -> None:
    """It would say the same with every batch that it cannot send, and every span it drops."""
    logging.getLogger(OTLPSpanExporter.__module__).setLevel(logging.CRITICAL)
    library = logging.getLogger("opentelemetry")
    library.handlers = [_OnceFilter()]
    library.propagate = False
