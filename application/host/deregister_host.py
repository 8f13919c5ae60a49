from dataclasses import dataclass

from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlane
from application.ports.host.evidence import MachineEvidence
from application.ports.host.state_folder import SavedState, StateFolder
from domain.errors import ServerNotFound
from domain.machine_evidence import Match, compare


class NothingToDeregister(Exception):
    """The state folder contains no registration of this machine. The message has no full stop."""


@dataclass(frozen=True, slots=True)
class Deregistered:
    state: SavedState
    # The server had already been deleted.
    was_gone: bool


@dataclass(frozen=True)
class DeregisterHost:
    """Deregisters the server in the state folder, for an operator on the host.

    Raises NothingToDeregister, StateFolderTaken while the host manager runs, OSError, and the
    errors of `ControlPlane.deregister` except ServerNotFound.
    """

    control_plane: ControlPlane
    state_folder: StateFolder
    evidence: MachineEvidence
    keys: KeyRing

    def __call__(self) -> Deregistered:
        self.state_folder.lock()
        state = self.state_folder.read()
        if state is None:
            raise NothingToDeregister("STATE_DIR contains no state of a registered host")
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
