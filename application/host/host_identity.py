import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from application.host.certificate_store import CertificateStore
from application.host.key_ring import KeyRing
from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.control_plane import RegistrationRequest, RegistrationResult
from application.ports.host.evidence import MachineEvidence
from application.ports.host.machine import MachineReport
from application.ports.host.state_folder import QuarantineReason, SavedState, StateFolder
from domain.digest import digest
from domain.machine_evidence import Evidence, Match, compare, kinds_in_words
from domain.naming import choose_name

_log = logging.getLogger(__name__)


@dataclass
class HostIdentity:
    """Who a host says that it is, and what of it is kept over its restarts.

    A state that cannot be kept is warned about once and ends nothing: the next registration
    tries again. `instance_id` is random, and another one for each process. `keys` show the
    credential that is kept, and `certificate` is that of the server that is kept.
    """

    evidence: MachineEvidence
    # None keeps nothing.
    state_folder: StateFolder | None
    server_name: str
    environment: str
    random_suffix: str
    instance_id: str
    keys: KeyRing
    certificate: CertificateStore = field(default_factory=CertificateStore)
    labels: Mapping[str, str] = field(default_factory=dict)
    ephemeral: bool = False

    name: str = field(init=False, default="")
    _name_is_made_up: bool = field(init=False, default=False)
    # Of the name that was kept, where ENVIRONMENT is not set any more.
    _kept_environment: str = field(init=False, default="")
    _introduced: RegistrationRequest = field(init=False)
    # As it is kept, or would be.
    _state: SavedState | None = field(init=False, default=None)
    _trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(_log, "STATE_DIR can be written to again."),
    )

    def take_state_folder(self) -> None:
        """Before anything else. Raises StateFolderTaken."""
        if self.state_folder is None:
            return
        try:
            self.state_folder.lock()
        except OSError as error:
            self._tell(error)
            self.state_folder = None

    def choose_name(self, report: MachineReport) -> None:
        """Raises InvalidField for a name against the rules."""
        state = self._state = self._kept_state(self._evidence(report))
        self.keys.credential = state.credential if state else ""
        self.certificate.load(state.server_id if state else None)
        kept = state.saved_name if state else None
        chosen = choose_name(
            self.server_name, report.hostname, self.environment, self.random_suffix, kept
        )
        self.name = chosen.name
        self._name_is_made_up = chosen.ephemeral
        said = {"server_name": chosen.name}
        if kept and chosen == kept.chosen and not self.server_name:
            self._kept_environment = kept.environment
            if chosen.name != f"{report.hostname}-{self.environment}":
                _log.info(
                    "The name %s is kept from the last start (STATE_DIR): set SERVER_NAME for"
                    " another one.",
                    chosen.name,
                    extra=said,
                )
        elif chosen.ephemeral and self.state_folder:
            _log.info(
                "The name %s is made up, and kept in STATE_DIR for the next start.",
                chosen.name,
                extra=said,
            )
        elif chosen.ephemeral:
            _log.warning(
                "The name %s is made up for this run and the next one may get another server_id:"
                " set ENVIRONMENT or SERVER_NAME for a name that stays.",
                chosen.name,
                extra=said,
            )

    def registration_request(self, report: MachineReport) -> RegistrationRequest:
        self._introduced = RegistrationRequest(
            name=self.name,
            environment=self.environment,
            capabilities=report.capabilities,
            evidence=self._evidence(report),
            labels=self.labels,
            ephemeral=self.ephemeral or self._name_is_made_up,
        )
        return self._introduced

    def joined(self, joined: RegistrationResult) -> None:
        """Keep what the control plane answered to the last registration."""
        name = joined.name or self.name
        if name != self.name:
            _log.info(
                "An operator named this host %s; it had registered as %s.",
                name,
                self.name,
                extra={"server_id": joined.server_id, "server_name": name},
            )
        if not self.server_name:
            self.name = name
        self._keep(
            SavedState(
                server_id=joined.server_id,
                name=name,
                environment=self.environment or self._kept_environment,
                ephemeral=self._name_is_made_up,
                epoch=joined.epoch,
                evidence=self._introduced.evidence,
                credential=joined.credential or self._credential_of(joined.server_id),
            )
        )

    def renewed(self, credential: str) -> None:
        """Show another credential from now on."""
        if self._state:
            self._keep(replace(self._state, credential=credential))

    def forget(self) -> None:
        """The server is gone: the next start is another one's."""
        self._state = None
        self.keys.credential = ""
        self.certificate.clear()
        if self.state_folder is None:
            return
        try:
            self.state_folder.forget()
        except OSError as error:
            self._tell(error)

    def _credential_of(self, server_id: int) -> str:
        """The one that is there: of several APIs one may be older, and issue none."""
        state = self._state
        return state.credential if state and state.server_id == server_id else ""

    def _keep(self, state: SavedState) -> None:
        if self.state_folder:
            try:
                self.state_folder.write(state)
            except OSError as error:
                self._tell(error)
            else:
                self._trouble.recovered()
        self._state = state
        # Shown only once it is kept: who stops in between goes on with the last one.
        self.keys.credential = state.credential

    def _evidence(self, report: MachineReport) -> Evidence:
        return replace(
            self.evidence.read(),
            engine_id=digest("engine-id", report.engine_id),
            instance_id=self.instance_id,
        )

    def _kept_state(self, evidence: Evidence) -> SavedState | None:
        if self.state_folder is None:
            return None
        try:
            state = self.state_folder.read()
            if state is None:
                return None
            comparison = compare(state.evidence, evidence)
            if comparison.match is not Match.OTHER_MACHINE:
                return state
            aside = self.state_folder.quarantine(QuarantineReason.OF_ANOTHER_MACHINE)
        except OSError as error:
            self._tell(error)
            return None
        _log.warning(
            "STATE_DIR was copied from another machine, server %d (%s), which differs in %s: the"
            " state is set aside as %s, and this host starts without it. Delete that file; if this"
            " machine is to take the other one's place, stop that one and set SERVER_NAME=%s here.",
            state.server_id,
            state.name,
            kinds_in_words(comparison.differing),
            aside,
            state.name,
        )
        return None

    def _tell(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._trouble.failed(
            f"The state of this host cannot be kept in STATE_DIR ({reason}): mend the folder or its"
            " permissions. This host goes on without."
        )
