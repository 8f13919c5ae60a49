import logging
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from entrypoints.settings import loopback_address, split_address

if TYPE_CHECKING:
    from adapters.http.management_server import ManagementServer

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 3.0


def open_side_port(management_server: "ManagementServer", address: str) -> None:
    """Serve it at METRICS_ADDRESS. Who watches must not stop what works: a port that is taken is
    a warning."""
    from adapters.http.management_server import CannotBind

    host, port = split_address(address)
    try:
        port = management_server.start(host, port)
    except CannotBind:
        _log.warning(
            "METRICS_ADDRESS: %s cannot be listened on, because another process has the port or"
            " the address is not of this machine: /metrics, /healthz and /readyz are not served,"
            " name another one or off",
            address,
        )
    else:
        _log.info("watched at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)


def health_problem(address: str, owner: str) -> str:
    """Ask /healthz of this owner at METRICS_ADDRESS; empty when all is well, else a sentence."""
    where = loopback_address(address)
    connection = HTTPConnection(*split_address(where), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
    except (OSError, HTTPException):
        return f"nothing answers at {where} (METRICS_ADDRESS): check that it runs."
    finally:
        connection.close()
    if answer.getheader("Server") != owner:
        problem = f"is not {owner}: give each a port of its own"
        return f"what answers at {where} (METRICS_ADDRESS) {problem}."
    if answer.status != HTTPStatus.OK:
        return f"{owner} at {where} (METRICS_ADDRESS) says that it is not well."
    return ""
