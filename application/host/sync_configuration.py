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
    """A host brings its folder to the revision that the control plane told it.

    Whatever goes wrong is said once and left to the next call, so that heartbeats never wait
    for a full disk. Only NotAdmitted is raised, and InvalidRegistrationKey where no other key
    can come.
    """

    control_plane: ControlPlane
    folder: ConfigurationFolder
    sleep: Sleep
    # Whether the host may be given another registration key while it runs.
    keys_may_change: bool = False
    _trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(
            _log, "The configuration can be followed again."
        ),
    )

    def __call__(
        self, server_id: int, revision_for_host: int, ping_watchdog: Callable[[], None]
    ) -> None:
        """`ping_watchdog` is called before each fetch: a host that was away for long needs many."""
        try:
            self._catch_up(server_id, revision_for_host, ping_watchdog)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            self._trouble.failed(
                f"The configuration cannot be kept in CONFIG_DIR ({reason}): mend the folder or"
                " its permissions. Trying again with each heartbeat."
            )
        except InvalidRegistrationKey:
            if not self.keys_may_change:
                raise
            self._trouble.failed(
                "The configuration cannot be fetched: the API takes none of the keys in"
                " REGISTRATION_KEY_FILE; write the API's into it. Trying again with each heartbeat."
            )
        except (
            ControlPlaneRefused,
            ControlPlaneUnavailable,
            InvalidField,
            ServerNotFound,
        ) as error:
            reason = str(error).removesuffix(".")
            self._trouble.failed(
                f"The configuration cannot be fetched: {reason}. Trying again with each heartbeat."
            )
        else:
            self._trouble.recovered()

    def _catch_up(
        self, server_id: int, revision_for_host: int, ping_watchdog: Callable[[], None]
    ) -> None:
        known = self.folder.known_revision(server_id)
        if known == revision_for_host == 0:
            # Nothing was ever attached to this server: what the folder holds was another one's.
            self.folder.apply(server_id, (), (), 0)
        behind, after, changed = known != revision_for_host, 0, 0
        while behind and not self.sleep.wait(0):
            ping_watchdog()
            changes = self.control_plane.fetch_configuration(server_id, known, after)
            for configuration in changes.changed:
                # The name becomes a path: no control plane may write where it likes.
                check_configuration_name(configuration.name)
            # What was known stays known until all has arrived: a host that stops in between
            # asks for all of it again. So does one that got it in parts while it changed: an old
            # document may have come into effect behind the part where it belongs.
            whole = not changes.more and (after == 0 or changes.revision == revision_for_host)
            reached = changes.revision if whole else known
            self.folder.apply(server_id, changes.changed, changes.names, reached)
            changed += len(changes.changed)
            if whole:
                self._tell(server_id, changes, changed)
            if not changes.more:
                behind = False
            elif changes.revision > after:
                after = changes.revision
            elif changes.revision > known:
                # An older control plane goes on from what is known, and from nothing else.
                known, after = changes.revision, 0
            else:
                behind = False

    def _tell(self, server_id: int, changes: ConfigurationChanges, changed: int) -> None:
        _log.info(
            "The configuration is at revision %d, of %d documents %d changed.",
            changes.revision,
            len(changes.names),
            changed,
            extra={"server_id": server_id, "config_revision": changes.revision},
        )
