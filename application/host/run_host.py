import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from application.context.request_id import current_request_id
from application.host.host_identity import HostIdentity
from application.host.leave_fleet import LeaveFleet
from application.host.sync_configuration import SyncConfiguration
from application.host.transient_failure_log import TransientFailureLog
from application.ports.host.commands import Commands
from application.ports.host.control_plane import (
    ControlPlane,
    ControlPlaneUnavailable,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.host.machine import EngineUnavailable, Machine, MachineReport
from application.ports.host.notifier import Notifier
from application.ports.host.sleep import Sleep
from domain.approval import Approval
from domain.backoff import retry_delay
from domain.capabilities import Capabilities
from domain.errors import CredentialRequired, NameInUse, ServerNotFound, as_sentence
from domain.host_state import HostState

_log = logging.getLogger(__name__)


class _StopRequested(Exception):
    pass


@dataclass
class RunHost:
    """Runs a host: detect the machine's capabilities, register, send heartbeats, leave on request.

    Temporary failures are retried forever. So is a name that another machine has, because an
    operator can resolve the conflict. Raises InvalidRegistrationKey, ControlPlaneRefused,
    StateFolderTaken, and InvalidField for an invalid name: then a setting must be changed. Raises
    NotAdmitted, and SupersededRegistration if a later process has the server: then the host must
    not call the control plane any more.

    It pings the watchdog before each step that can take long, so that the watchdog must tolerate
    one slow report or call, and not all of them in a row.
    """

    control_plane: ControlPlane
    machine: Machine
    identity: HostIdentity
    leave_fleet: LeaveFleet
    sync_configuration: SyncConfiguration | None
    sleep: Sleep
    notifier: Notifier
    # From 0 to 1. It spreads the calls of hosts that started or failed at the same time.
    random: Callable[[], float]
    commands: Commands | None = None
    # The id of an existing server: then the host does not register.
    assigned_server_id: int | None = None

    _last_report: MachineReport = field(init=False)
    _server_id: int | None = field(init=False, default=None)
    _epoch: int = field(init=False, default=0)
    _is_pending: bool = field(init=False, default=False)
    _interval: timedelta = field(init=False)
    _failed_heartbeats: int = field(init=False, default=0)
    # Seconds, from the last registration that failed.
    _retry_after: float = field(init=False, default=0.0)
    _ready: bool = field(init=False, default=False)
    _engine_failures: TransientFailureLog = field(
        init=False, default_factory=lambda: TransientFailureLog(_log, "Docker answers again.")
    )
    _api_failures: TransientFailureLog = field(
        init=False, default_factory=lambda: TransientFailureLog(_log, "The API answers again.")
    )
    _name_failures: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(_log, "This host has the name now."),
    )

    def __call__(self) -> None:
        """Returns after it was asked to stop and has left."""
        with suppress(_StopRequested):
            registers = self.assigned_server_id is None
            if registers:
                self.identity.lock_state_folder()
            self._detect()
            if registers:
                self.identity.choose_name(self._last_report)
            server_id, wait = self._register()
            while True:
                self._sleep(wait)
                server_id, wait = self._send_heartbeat(server_id)
        self._leave()

    def _detect(self) -> None:
        self.notifier.state_changed(HostState.DETECTING)
        failures = 0
        while self._report_machine("Trying again until it answers.") is None:
            failures += 1
            self._sleep(retry_delay(failures, self.random()))

    def _register(self) -> tuple[int, float]:
        """The server_id, and the seconds until the first heartbeat."""
        self.notifier.state_changed(HostState.REGISTERING)
        failures = 0
        while (joined := self._try_to_register()) is None:
            failures += 1
            self._sleep(retry_delay(failures, self.random(), min_seconds=self._retry_after))
            self._report_machine("Registering with the last known figures.")
        self._failed_heartbeats = 0
        self._interval = joined.next_heartbeat
        self._server_id, self._epoch = joined.server_id, joined.epoch
        if self.assigned_server_id is None:
            self.identity.joined(joined)
        # After the state is stored, so that a reader of this line can rely on the file.
        self._log_registration(joined)
        self.notifier.state_changed(HostState.RUNNING)
        if self.commands:
            self.commands.listen(joined.server_id)
        self._sync(joined.server_id, joined.approval, joined.config_revision)
        return joined.server_id, joined.next_heartbeat.total_seconds() * (1 - self.random() / 2)

    def _log_registration(self, joined: RegistrationResult) -> None:
        fields = {"server_id": joined.server_id}
        if self.assigned_server_id is not None:
            _log.info("Online as server %d.", joined.server_id, extra=fields)
            return
        name = joined.name or self.identity.name
        _log.info(
            "Registered as server %d under the name %s.",
            joined.server_id,
            name,
            extra={**fields, "server_name": name, "environment": self.identity.environment},
        )

    def _try_to_register(self) -> RegistrationResult | None:
        self._stop_if_asked()
        self.notifier.ping_watchdog()
        self._retry_after = 0.0
        try:
            joined = self.control_plane.register(self._registration_request())
        except ControlPlaneUnavailable as error:
            self._retry_after = error.retry_after
            self._api_failures.failed(f"{error} Trying again until it answers.")
            return None
        except NameInUse as error:
            self._api_failures.recovered()
            self._name_failures.failed(f"{as_sentence(error)} Trying again until it is free.")
            return None
        self._api_failures.recovered()
        self._name_failures.recovered()
        return joined

    def _registration_request(self) -> RegistrationRequest:
        if self.assigned_server_id is not None:
            return RegistrationRequest(name="", capabilities=self._last_report.capabilities)
        return self.identity.registration_request(self._last_report)

    def _send_heartbeat(self, server_id: int) -> tuple[int, float]:
        """The server_id, which a new registration may change, and the seconds until the next."""
        capabilities = self._report_machine("Heartbeats continue with the last known figures.")
        self._stop_if_asked()
        self.notifier.ping_watchdog()
        try:
            result = self.control_plane.heartbeat(server_id, capabilities, epoch=self._epoch)
        except ServerNotFound:
            self._api_failures.recovered()
            _log.warning(
                "The API no longer knows server %d: registering again.",
                server_id,
                extra={"server_id": server_id},
            )
            return self._register()
        except CredentialRequired:
            self._api_failures.recovered()
            _log.warning(
                "The API requires a credential for server %d: registering again to get one.",
                server_id,
                extra={"server_id": server_id},
            )
            return self._register()
        except ControlPlaneUnavailable as error:
            self._api_failures.failed(f"{error} Trying again until it answers.")
            self._failed_heartbeats += 1
            # At most one interval: after the API is back, it waits three intervals for this host.
            max_seconds = self._interval.total_seconds()
            wait = retry_delay(
                self._failed_heartbeats, self.random(), max_seconds, error.retry_after
            )
            return server_id, wait
        self._api_failures.recovered()
        self._failed_heartbeats = 0
        self._interval = result.next_heartbeat
        if result.credential:
            self.identity.renewed(result.credential)
        self._sync(server_id, result.approval, result.config_revision)
        return server_id, result.next_heartbeat.total_seconds()

    def _leave(self) -> None:
        self.notifier.state_changed(HostState.LEAVING)
        if self._server_id is None:
            _log.info("Stopped before this host was registered.")
            return
        self.leave_fleet(self._server_id, self._epoch, self.notifier.ping_watchdog)

    def _report_machine(self, meanwhile: str) -> Capabilities | None:
        """The machine's capabilities; None, logged once, while its engine does not answer."""
        self.notifier.ping_watchdog()
        try:
            self._last_report = self.machine.report()
        except EngineUnavailable as error:
            self._engine_failures.failed(f"{error} {meanwhile}")
            return None
        self._engine_failures.recovered()
        return self._last_report.capabilities

    def _sync(self, server_id: int, approval: Approval, revision_for_host: int) -> None:
        pending = approval is Approval.PENDING
        if pending and not self._is_pending:
            _log.warning(
                "Server %d waits for an operator's approval (`manmanv2 servers approve %d`); until"
                " then it gets no configuration and no commands.",
                server_id,
                server_id,
                extra={"server_id": server_id},
            )
        elif self._is_pending and approval is Approval.APPROVED:
            _log.info("Server %d was approved.", server_id, extra={"server_id": server_id})
        # A rejected server that the API only warns about is still not approved.
        if approval.admits:
            self._is_pending = pending
        # A pending host gets a revision only if the API does not enforce the approval.
        if self.sync_configuration and (revision_for_host or not pending):
            self.sync_configuration(server_id, revision_for_host, self.notifier.ping_watchdog)

    def _sleep(self, seconds: float) -> None:
        if not self._ready:
            # A start that cannot succeed has already ended, and the service manager reports it as
            # failed. A start that waits for Docker or the API must not delay the machine's boot.
            self._ready = True
            self.notifier.ready()
        # What is logged from now on belongs to no request.
        current_request_id.set("")
        while seconds > 0:
            self.notifier.ping_watchdog()
            step = min(seconds, self.notifier.watchdog_interval)
            if self.sleep.wait(step):
                raise _StopRequested
            if self.commands and self.commands.take():
                # A heartbeat carries out every command: it reports, and it syncs the configuration.
                return
            seconds -= step

    def _stop_if_asked(self) -> None:
        if self.sleep.wait(0):
            raise _StopRequested
