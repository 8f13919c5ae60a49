"""A server of the fleet."""

from dataclasses import dataclass, replace

from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.labels import NO_LABELS, Labels
from domain.liveness import NEVER_SEEN, Presence


@dataclass(frozen=True, slots=True)
class Server:
    """The record behind a name. Its server_id never changes; configuration is attached to it.

    `config_revision` grows with every change of the server's configuration; 0 means that none was
    ever attached. A host with a revision older than `config_resync` is sent all documents.
    `epoch` counts its registrations. `machine` is the same number for all servers of one machine,
    0 if unknown. `address` is the address that its host registered from last.
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
    # The operator's reason for rejecting or banning it.
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
        """The record after its host has registered. Values that the host omits stay unchanged.

        With `keeps_epoch`, the registration does not supersede the one before.
        """
        return replace(
            self,
            environment=environment or self.environment,
            capabilities=self.capabilities if capabilities is None else capabilities,
            presence=presence,
            epoch=self.epoch if keeps_epoch else self.epoch + 1,
        )

    def configured(self, revision: int, *, resync: bool = False) -> "Server":
        """The record after a change of its configuration.

        `resync` is needed if documents came into effect that are older than the host's revision.
        """
        return replace(
            self,
            config_revision=revision,
            config_resync=revision if resync else self.config_resync,
        )
