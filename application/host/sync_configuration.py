import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.configuration_folder import ConfigurationFolder
from application.ports.host.control_plane import (
    ControlPlane,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
)
from application.ports.host.sleep import Sleep
from domain.configuration import ConfigurationChanges, check_configuration_name
from domain.errors import InvalidField, InvalidRegistrationKey, ServerNotFound

_log = logging.getLogger(__name__)


@dataclass
class SyncConfiguration:
    """Brings a host's configuration directory to the revision that the control plane reported.

    A failure is logged once and left to the next call, so that heartbeats never wait for a full
    disk. Raises only NotAdmitted, and InvalidRegistrationKey if the keys cannot change.
    """

    control_plane: ControlPlane
    folder: ConfigurationFolder
    sleep: Sleep
    # Whether the registration keys can change while the host runs.
    keys_may_change: bool = False
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "The configuration can be fetched again."
        ),
    )

    def __call__(
        self, server_id: int, revision_for_host: int, ping_watchdog: Callable[[], None]
    ) -> None:
        """Calls `ping_watchdog` before each fetch: a host that was offline for long needs many."""
        try:
            self._catch_up(server_id, revision_for_host, ping_watchdog)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._failures.failed(
                f"The configuration cannot be stored in CONFIG_DIR ({reason}): fix the directory"
                " or its permissions. Trying again with each heartbeat."
            )
        except InvalidRegistrationKey:
            if not self.keys_may_change:
                raise
            self._failures.failed(
                "The configuration cannot be fetched: the API accepts none of the keys in"
                " REGISTRATION_KEY_FILE; add the API's key to the file. Trying again with each"
                " heartbeat."
            )
        except (
            ControlPlaneRefused,
            ControlPlaneUnavailable,
            InvalidField,
            ServerNotFound,
        ) as error:
            reason = str(error).removesuffix(".")
            self._failures.failed(
                f"The configuration cannot be fetched: {reason}. Trying again with each heartbeat."
            )
        else:
            self._failures.recovered()

    def _catch_up(
        self, server_id: int, revision_for_host: int, ping_watchdog: Callable[[], None]
    ) -> None:
        known = self.folder.known_revision(server_id)
        if known == revision_for_host == 0:
            # This server never had a configuration: what the directory holds is another server's.
            self.folder.apply(server_id, (), (), 0)
        behind, after, changed = known != revision_for_host, 0, 0
        while behind and not self.sleep.wait(0):
            ping_watchdog()
            changes = self.control_plane.fetch_configuration(server_id, known, after)
            for configuration in changes.changed:
                # The name becomes a path: no control plane may write outside the directory.
                check_configuration_name(configuration.name)
            # The known revision stays until everything has arrived: a host that stops in between
            # fetches everything again. So does a host that fetched parts while they changed: an
            # old document may have come into effect in a part that was already fetched.
            whole = not changes.more and (after == 0 or changes.revision == revision_for_host)
            reached = changes.revision if whole else known
            self.folder.apply(server_id, changes.changed, changes.names, reached)
            changed += len(changes.changed)
            if whole:
                self._log_change(server_id, changes, changed)
            if not changes.more:
                behind = False
            elif changes.revision > after:
                after = changes.revision
            elif changes.revision > known:
                # An older control plane continues only from the known revision.
                known, after = changes.revision, 0
            else:
                behind = False

    def _log_change(self, server_id: int, changes: ConfigurationChanges, changed: int) -> None:
        _log.info(
            "The configuration is at revision %d; %d of %d documents changed.",
            changes.revision,
            changed,
            len(changes.names),
            extra={"server_id": server_id, "config_revision": changes.revision},
        )
