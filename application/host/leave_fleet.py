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
    """A host's last word when it stops on purpose: a farewell, or that its server is to go.

    What goes wrong is said and ends here: nobody waits for a host that stops.
    """

    control_plane: ControlPlane
    identity: HostIdentity
    deregisters: bool

    def __call__(self, server_id: int, epoch: int, ping_watchdog: Callable[[], None]) -> None:
        """`ping_watchdog` is called before each call, which can last."""
        if self.deregisters:
            ping_watchdog()
            if self._try_to_deregister(server_id):
                return
        ping_watchdog()
        self._send_leaving_heartbeat(server_id, epoch)

    def _send_leaving_heartbeat(self, server_id: int, epoch: int) -> None:
        said = {"server_id": server_id}
        try:
            self.control_plane.heartbeat(server_id, None, epoch=epoch, leaving=True)
        except SupersededRegistration as error:
            _log.warning("Stopped without telling the API: %s", as_sentence(error), extra=said)
        except (
            ControlPlaneRefused,
            ControlPlaneUnavailable,
            CredentialRequired,
            NotAdmitted,
            ServerNotFound,
        ) as error:
            _log.warning(
                "Stopped without telling the API, which will notice by this host's silence: %s",
                as_sentence(error),
                extra=said,
            )
        else:
            _log.info("Stopped; the API shows server %d as offline.", server_id, extra=said)

    def _try_to_deregister(self, server_id: int) -> bool:
        """Whether that was all there is to say."""
        said = {"server_id": server_id}
        try:
            self.control_plane.deregister(server_id, self.identity.instance_id)
        except ServerNotFound:
            _log.info("Stopped; the API had deleted server %d already.", server_id, extra=said)
        except (ControlPlaneUnavailable, SupersededRegistration) as error:
            self._tell_that_it_stays(server_id, error)
            # A farewell would not get through either, or is not this process's to say.
            return True
        except (ControlPlaneRefused, ManManError) as error:
            self._tell_that_it_stays(server_id, error)
            return False
        else:
            _log.info(
                "Stopped and deregistered; `manmanv2 servers restore %d` brings the server back.",
                server_id,
                extra=said,
            )
        self.identity.forget()
        return True

    def _tell_that_it_stays(self, server_id: int, error: Exception) -> None:
        cure = (
            ""
            if isinstance(error, SupersededRegistration)
            else (f" An operator can delete it by `manmanv2 servers delete {server_id}`.")
        )
        _log.warning(
            "Stopped without deregistering server %d: %s%s",
            server_id,
            as_sentence(error),
            cure,
            extra={"server_id": server_id},
        )
