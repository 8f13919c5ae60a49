import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from application.context.request_id import current_request_id
from application.context.trace_context import current_trace_parent

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def configure_logs(level: str, log_format: str) -> None:
    """Send the lines of all loggers to stderr: readable on a terminal, otherwise as JSON."""
    for number in _LEVELS:
        logging.addLevelName(number, logging.getLevelName(number).lower())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format or ("console" if sys.stderr.isatty() else "json")))
    handler.addFilter(_add_request_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Libraries log details only at level debug.
    for noisy in ("alembic", "asyncio", "docker", "sqlalchemy", "urllib3"):
        logging.getLogger(noisy).setLevel("debug" if level == "debug" else "warning")
    if level == "debug":
        # At its own level debug, SQLAlchemy logs every row that it reads, including configuration
        # documents.
        logging.getLogger("sqlalchemy").setLevel("info")


class _Console(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        request_id = getattr(record, "request_id", "")
        line = super().formatMessage(record)
        return f"{line} [{request_id}]" if request_id else line


def _add_request_id(record: logging.LogRecord) -> bool:
    request_id = current_request_id.get()
    if request_id:
        record.request_id = request_id
    trace_parent = current_trace_parent.get()
    if trace_parent:
        _, record.trace_id, record.span_id, _ = trace_parent.split("-")
    return True


def _formatter(log_format: str) -> logging.Formatter:
    if log_format == "console":
        return _Console("%(asctime)s %(levelname)-7s %(message)s")
    return JsonFormatter(
        "{message}{levelname}{name}",
        style="{",
        rename_fields={"message": "event", "levelname": "level", "name": "logger"},
        timestamp=True,
        json_ensure_ascii=False,
    )
