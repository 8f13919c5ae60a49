import logging
from collections.abc import Callable
from dataclasses import dataclass

from application.host.host_identity import HostIdentity
from application.ports.host.control_plane import (
    ControlPlane,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
)
from domain.errors import (
    CredentialRequired,
    ManManError,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
    as_sentence,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaveFleet:
    """Sends what a host sends when it stops on purpose: a leaving heartbeat, or a deregistration.

    A failure is logged and not raised: nothing waits for a host that stops.
    """

    control_plane: ControlPlane
    identity: HostIdentity
    deregisters: bool

    def __call__(self, server_id: int, epoch: int, ping_watchdog: Callable[[], None]) -> None:
        """Calls `ping_watchdog` before each call to the control plane, which can take long."""
        if self.deregisters:
            ping_watchdog()
            if self._try_to_deregister(server_id):
                return
        ping_watchdog()
        self._send_leaving_heartbeat(server_id, epoch)

    def _send_leaving_heartbeat(self, server_id: int, epoch: int) -> None:
        fields = {"server_id": server_id}
        try:
            self.control_plane.heartbeat(server_id, None, epoch=epoch, leaving=True)
        except SupersededRegistration as error:
            _log.warning("Stopped without notifying the API: %s", as_sentence(error), extra=fields)
        except (
            ControlPlaneRefused,
            ControlPlaneUnavailable,
            CredentialRequired,
            NotAdmitted,
            ServerNotFound,
        ) as error:
            _log.warning(
                "Stopped without notifying the API, which will miss this host's heartbeats: %s",
                as_sentence(error),
                extra=fields,
            )
        else:
            _log.info("Stopped; the API shows server %d as offline.", server_id, extra=fields)

    def _try_to_deregister(self, server_id: int) -> bool:
        """Whether no leaving heartbeat is needed any more."""
        fields = {"server_id": server_id}
        try:
            self.control_plane.deregister(server_id, self.identity.instance_id)
        except ServerNotFound:
            _log.info("Stopped; the API had already deleted server %d.", server_id, extra=fields)
        except (ControlPlaneUnavailable, SupersededRegistration) as error:
            self._log_failure(server_id, error)
            # A heartbeat would fail too, or this process must not send one any more.
            return True
        except (ControlPlaneRefused, ManManError) as error:
            self._log_failure(server_id, error)
            return False
        else:
            _log.info(
                "Stopped and deregistered; `manmanv2 servers restore %d` brings the server back.",
                server_id,
                extra=fields,
            )
        self.identity.forget()
        return True

    def _log_failure(self, server_id: int, error: Exception) -> None:
        fix = (
            ""
            if isinstance(error, SupersededRegistration)
            else (f" An operator can delete it with `manmanv2 servers delete {server_id}`.")
        )
        _log.warning(
            "Stopped without deregistering server %d: %s%s",
            server_id,
            as_sentence(error),
            fix,
            extra={"server_id": server_id},
        )
