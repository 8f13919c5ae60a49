import logging
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from entrypoints.settings import loopback_address, split_address

if TYPE_CHECKING:
    from adapters.http.management_server import ManagementServer

_log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 3.0


def start_management_server(management_server: "ManagementServer", address: str) -> None:
    """Serve it at METRICS_ADDRESS. Monitoring must not stop the service: if the port is taken, this
    logs a warning."""
    from adapters.http.management_server import CannotBind

    host, port = split_address(address)
    try:
        port = management_server.start(host, port)
    except CannotBind:
        _log.warning(
            "METRICS_ADDRESS: cannot listen on %s: another process uses the port, or the address"
            " does not belong to this machine. /metrics, /healthz and /readyz are not served; set"
            " another address, or off",
            address,
        )
    else:
        url_host = f"[{host}]" if ":" in host else host
        _log.info("Metrics and health at http://%s:%d/metrics", url_host, port)


def health_problem(address: str, owner: str) -> str:
    """Ask /healthz of the program `owner` at METRICS_ADDRESS. Returns a sentence, or an empty text
    if the program is healthy."""
    reachable = loopback_address(address)
    connection = HTTPConnection(*split_address(reachable), timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
    except (OSError, HTTPException):
        return f"No process answers at {reachable} (METRICS_ADDRESS): check that {owner} runs."
    finally:
        connection.close()
    if response.getheader("Server") != owner:
        return (
            f"The process at {reachable} (METRICS_ADDRESS) is not {owner}: give each process a port"
            " of its own."
        )
    if response.status != HTTPStatus.OK:
        return f"{owner} at {reachable} (METRICS_ADDRESS) reports that it is unhealthy."
    return ""
