from dataclasses import dataclass

from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlane
from application.ports.host.evidence import MachineEvidence
from application.ports.host.state_folder import SavedState, StateFolder
from domain.errors import ServerNotFound
from domain.machine_evidence import Match, compare


class NothingToDeregister(Exception):
    """The state folder tells of no registration of this machine. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Deregistered:
    state: SavedState
    # It was deleted before.
    was_gone: bool


@dataclass(frozen=True)
class DeregisterHost:
    """Take back, by hand, the registration of which the state folder tells.

    Raises NothingToDeregister, StateFolderTaken while the host manager runs, OSError, and what
    `ControlPlane.deregister` raises but ServerNotFound.
    """

    control_plane: ControlPlane
    state_folder: StateFolder
    evidence: MachineEvidence
    keys: KeyRing

    def __call__(self) -> Deregistered:
        self.state_folder.lock()
        state = self.state_folder.read()
        if state is None:
            raise NothingToDeregister("STATE_DIR holds no state of a host that registered")
        if compare(state.evidence, self.evidence.read()).match is Match.OTHER_MACHINE:
            raise NothingToDeregister(
                f"STATE_DIR was copied from another machine, server {state.server_id}"
                f" ({state.name})"
            )
        was_gone = False
        self.keys.credential = state.credential
        try:
            self.control_plane.deregister(state.server_id, state.evidence.instance_id)
        except ServerNotFound:
            was_gone = True
        self.state_folder.forget()
        return Deregistered(state, was_gone)
