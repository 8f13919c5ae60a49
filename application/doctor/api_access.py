from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from application.ports.host.control_plane import ControlPlaneRefused
from application.ports.host.state_folder import SavedState
from application.ports.probes.api_probe import ApiProbe, KeyTrial


@dataclass
class ApiAccess:
    """The API as this host may call it: with its registration keys and its credential."""

    api: ApiProbe
    # The first is REGISTRATION_KEY, empty if none is set; a file may hold more.
    keys: Sequence[str] = field(repr=False)
    # The usable content of STATE_DIR.
    saved_state: Callable[[], SavedState | None]

    # The last key that was tried, and the API's answer to it.
    key: str = field(init=False, repr=False)
    trial: KeyTrial = field(init=False, repr=False)
    # Empty if none is stored.
    credential: str = field(init=False, default="", repr=False)

    def try_keys(self) -> None:
        """Try the keys until the API admits one.

        Raises ControlPlaneUnavailable, and the first ControlPlaneRefused of a join key if the API
        admits no other key.
        """
        state = self.saved_state()
        self.credential = state.credential if state else ""
        refusal: ControlPlaneRefused | None = None
        for key in self.keys:
            try:
                self.key, self.trial = key, self._try(key)
            except ControlPlaneRefused as error:
                refusal = refusal or error
                continue
            if self.trial.admitted:
                return
        if refusal:
            raise refusal

    def admits(self, key: str) -> bool:
        return self.api.try_key(key).admitted

    def admits_credential(self) -> bool:
        return bool(self.credential) and self.api.try_key(self.key, self.credential).admitted

    def _try(self, key: str) -> KeyTrial:
        try:
            return self.api.try_key(key)
        except ControlPlaneRefused:
            if not self.credential:
                raise
            # A host that has registered does not need its join key any more.
            return replace(self.api.try_key(key, self.credential), admitted=False)
