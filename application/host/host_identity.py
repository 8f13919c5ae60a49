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
    """A host's identity, and the part of it that is stored for its restarts.

    If the state cannot be stored, a warning is logged once, and the next registration tries again.
    `instance_id` is random and different for each process. `keys` present the stored credential,
    and `certificate` is that of the stored server.
    """

    evidence: MachineEvidence
    # None stores nothing.
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
    _name_is_generated: bool = field(init=False, default=False)
    # That of the stored name, if ENVIRONMENT is no longer set.
    _saved_environment: str = field(init=False, default="")
    _last_request: RegistrationRequest = field(init=False)
    # The stored state, or what would be stored.
    _state: SavedState | None = field(init=False, default=None)
    _failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(_log, "STATE_DIR is writable again."),
    )

    def lock_state_folder(self) -> None:
        """Must be called first. Raises StateFolderTaken."""
        if self.state_folder is None:
            return
        try:
            self.state_folder.lock()
        except OSError as error:
            self._log_failure(error)
            self.state_folder = None

    def choose_name(self, report: MachineReport) -> None:
        """Raises InvalidField for an invalid name."""
        state = self._state = self._saved_state(self._evidence(report))
        self.keys.credential = state.credential if state else ""
        self.certificate.load(state.server_id if state else None)
        saved = state.saved_name if state else None
        chosen = choose_name(
            self.server_name, report.hostname, self.environment, self.random_suffix, saved
        )
        self.name = chosen.name
        self._name_is_generated = chosen.ephemeral
        fields = {"server_name": chosen.name}
        if saved and chosen == saved.chosen and not self.server_name:
            self._saved_environment = saved.environment
            if chosen.name != f"{report.hostname}-{self.environment}":
                _log.info(
                    "Using the name %s from the last start (STATE_DIR); set SERVER_NAME to change"
                    " it.",
                    chosen.name,
                    extra=fields,
                )
        elif chosen.ephemeral and self.state_folder:
            _log.info(
                "Generated the name %s; STATE_DIR keeps it for the next start.",
                chosen.name,
                extra=fields,
            )
        elif chosen.ephemeral:
            _log.warning(
                "Generated the name %s for this run only, so the next start may get another"
                " server_id: set ENVIRONMENT or SERVER_NAME for a permanent name.",
                chosen.name,
                extra=fields,
            )

    def registration_request(self, report: MachineReport) -> RegistrationRequest:
        self._last_request = RegistrationRequest(
            name=self.name,
            environment=self.environment,
            capabilities=report.capabilities,
            evidence=self._evidence(report),
            labels=self.labels,
            ephemeral=self.ephemeral or self._name_is_generated,
        )
        return self._last_request

    def joined(self, joined: RegistrationResult) -> None:
        """Store the control plane's answer to the last registration."""
        name = joined.name or self.name
        if name != self.name:
            _log.info(
                "An operator renamed this host to %s; it registered as %s.",
                name,
                self.name,
                extra={"server_id": joined.server_id, "server_name": name},
            )
        if not self.server_name:
            self.name = name
        self._store(
            SavedState(
                server_id=joined.server_id,
                name=name,
                environment=self.environment or self._saved_environment,
                ephemeral=self._name_is_generated,
                epoch=joined.epoch,
                evidence=self._last_request.evidence,
                credential=joined.credential or self._credential_of(joined.server_id),
            )
        )

    def renewed(self, credential: str) -> None:
        """Present another credential from now on."""
        if self._state:
            self._store(replace(self._state, credential=credential))

    def forget(self) -> None:
        """The server is deleted: the next start registers a new one."""
        self._state = None
        self.keys.credential = ""
        self.certificate.clear()
        if self.state_folder is None:
            return
        try:
            self.state_folder.forget()
        except OSError as error:
            self._log_failure(error)

    def _credential_of(self, server_id: int) -> str:
        """The known credential: one of several APIs may be older and issue none."""
        state = self._state
        return state.credential if state and state.server_id == server_id else ""

    def _store(self, state: SavedState) -> None:
        if self.state_folder:
            try:
                self.state_folder.write(state)
            except OSError as error:
                self._log_failure(error)
            else:
                self._failures.recovered()
        self._state = state
        # Presented only after it is stored: a host that stops in between still has the last one.
        self.keys.credential = state.credential

    def _evidence(self, report: MachineReport) -> Evidence:
        return replace(
            self.evidence.read(),
            engine_id=digest("engine-id", report.engine_id),
            instance_id=self.instance_id,
        )

    def _saved_state(self, evidence: Evidence) -> SavedState | None:
        if self.state_folder is None:
            return None
        try:
            state = self.state_folder.read()
            if state is None:
                return None
            comparison = compare(state.evidence, evidence)
            if comparison.match is not Match.OTHER_MACHINE:
                return state
            new_path = self.state_folder.quarantine(QuarantineReason.OF_ANOTHER_MACHINE)
        except OSError as error:
            self._log_failure(error)
            return None
        _log.warning(
            "STATE_DIR was copied from another machine, server %d (%s), which differs in %s: the"
            " state was moved to %s, and this host starts without it. Delete that file. To replace"
            " the other machine, stop it and set SERVER_NAME=%s here.",
            state.server_id,
            state.name,
            kinds_in_words(comparison.differing),
            new_path,
            state.name,
        )
        return None

    def _log_failure(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        self._failures.failed(
            f"This host's state cannot be stored in STATE_DIR ({reason}): fix the directory or its"
            " permissions. This host continues without it."
        )
