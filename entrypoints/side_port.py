import logging
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from entrypoints.settings import reached_at, split_address

if TYPE_CHECKING:
    from adapters.http.side_port import SidePort

_log = logging.getLogger(__name__)

_PATIENCE_SECONDS = 3.0


def open_side_port(side_port: "SidePort", address: str) -> None:
    """Serve it at METRICS_ADDRESS. Who watches must not stop what works: a port that is taken is
    a warning."""
    from adapters.http.side_port import CannotWatch

    host, port = split_address(address)
    try:
        port = side_port.start(host, port)
    except CannotWatch:
        _log.warning(
            "METRICS_ADDRESS: %s cannot be listened on, because another process has the port or"
            " the address is not of this machine: /metrics, /healthz and /readyz are not served,"
            " name another one or off",
            address,
        )
    else:
        _log.info("watched at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)


def why_not_well(address: str) -> str:
    """Ask /healthz at METRICS_ADDRESS; empty when all is well, else a sentence."""
    where = reached_at(address)
    connection = HTTPConnection(*split_address(where), timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        well = connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return f"nothing answers at {where} (METRICS_ADDRESS): check that it runs."
    finally:
        connection.close()
    return "" if well else f"what answers at {where} (METRICS_ADDRESS) says that it is not well."
