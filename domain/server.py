"""A machine of the fleet."""

from dataclasses import dataclass, replace

from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.labels import NO_LABELS, Labels
from domain.liveness import NEVER_SEEN, Presence


@dataclass(frozen=True, slots=True)
class Server:
    """The record that a name owns: its server_id never changes, and configuration hangs on it.

    `config_revision` grows with every change of the server's configuration; 0 means that
    none was ever attached. A host that knows an older one than `config_resync` is sent all of it.
    `epoch` counts its registrations. `machine` is the same number for all servers of one machine,
    0 when that is not known; `address` is from where its host registered last.
    """

    server_id: int
    name: str
    environment: str = ""
    presence: Presence = NEVER_SEEN
    is_default: bool = False
    capabilities: Capabilities | None = None
    config_revision: int = 0
    config_resync: int = 0
    epoch: int = 0
    approval: Approval = Approval.APPROVED
    # Why an operator refuses it.
    approval_reason: str = ""
    ephemeral: bool = False
    labels: Labels = NO_LABELS
    machine: int = 0
    address: str = ""

    def registered(
        self,
        environment: str,
        capabilities: Capabilities | None,
        presence: Presence,
        *,
        keeps_epoch: bool = False,
    ) -> "Server":
        """The record after its host joined. What the host leaves out stays as it was.

        One that keeps the epoch does not replace who registered before.
        """
        return replace(
            self,
            environment=environment or self.environment,
            capabilities=self.capabilities if capabilities is None else capabilities,
            presence=presence,
            epoch=self.epoch if keeps_epoch else self.epoch + 1,
        )

    def configured(self, revision: int, *, resync: bool = False) -> "Server":
        """The record after its configuration changed. With `resync`, also documents came into
        effect that are older than what its host may know."""
        return replace(
            self,
            config_revision=revision,
            config_resync=revision if resync else self.config_resync,
        )
