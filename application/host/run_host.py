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
    """A host's life: detect what the machine can do, register, heartbeat, leave when asked to.

    What can pass is retried for ever; so is a name that another machine holds, which an operator
    can settle. Raises InvalidRegistrationKey, ControlPlaneRefused, StateFolderTaken, and
    InvalidField for a name against the rules: then somebody has to change a setting. Raises
    NotAdmitted, and Replaced when a later process has the server: then it has no more to say.

    The notifier hears that it is alive before everything that can last, so that a watchdog has
    to bear with one slow look or call, and not with all of them in a row.
    """

    control_plane: ControlPlane
    machine: Machine
    identity: HostIdentity
    leave_fleet: LeaveFleet
    sync_configuration: SyncConfiguration | None
    sleep: Sleep
    notifier: Notifier
    # From 0 to 1: hosts that started or failed together must not march in step.
    random: Callable[[], float]
    commands: Commands | None = None
    # The id of a server that is there already: then nothing is registered.
    assigned_server_id: int | None = None

    _last_report: MachineReport = field(init=False)
    _server_id: int | None = field(init=False, default=None)
    _epoch: int = field(init=False, default=0)
    _is_pending: bool = field(init=False, default=False)
    _interval: timedelta = field(init=False)
    _failed_heartbeats: int = field(init=False, default=0)
    # Seconds, by the last registration that failed.
    _retry_after: float = field(init=False, default=0.0)
    _ready: bool = field(init=False, default=False)
    _engine_trouble: TransientFailureLog = field(
        init=False, default_factory=lambda: TransientFailureLog(_log, "Docker answers again.")
    )
    _api_trouble: TransientFailureLog = field(
        init=False, default_factory=lambda: TransientFailureLog(_log, "The API answers again.")
    )
    _name_trouble: TransientFailureLog = field(
        init=False,
        default_factory=lambda: TransientFailureLog(_log, "The name is this host's now."),
    )

    def __call__(self) -> None:
        """Returns once it was asked to stop and has left."""
        with suppress(_StopRequested):
            registers = self.assigned_server_id is None
            if registers:
                self.identity.take_state_folder()
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
        """The server_id, and the seconds to rest until the first heartbeat."""
        self.notifier.state_changed(HostState.REGISTERING)
        failures = 0
        while (joined := self._try_to_register()) is None:
            failures += 1
            self._sleep(retry_delay(failures, self.random(), min_seconds=self._retry_after))
            self._report_machine("Registering with the figures known so far.")
        self._failed_heartbeats = 0
        self._interval = joined.next_heartbeat
        self._server_id, self._epoch = joined.server_id, joined.epoch
        if self.assigned_server_id is None:
            self.identity.joined(joined)
        # Who reads that may rely on what is kept on disk.
        self._log_registration(joined)
        self.notifier.state_changed(HostState.RUNNING)
        if self.commands:
            self.commands.listen(joined.server_id)
        self._sync(joined.server_id, joined.approval, joined.config_revision)
        return joined.server_id, joined.next_heartbeat.total_seconds() * (1 - self.random() / 2)

    def _log_registration(self, joined: RegistrationResult) -> None:
        said = {"server_id": joined.server_id}
        if self.assigned_server_id is not None:
            _log.info("Online as server %d.", joined.server_id, extra=said)
            return
        name = joined.name or self.identity.name
        _log.info(
            "Registered as server %d under the name %s.",
            joined.server_id,
            name,
            extra={**said, "server_name": name, "environment": self.identity.environment},
        )

    def _try_to_register(self) -> RegistrationResult | None:
        self._stop_if_asked()
        self.notifier.ping_watchdog()
        self._retry_after = 0.0
        try:
            joined = self.control_plane.register(self._registration_request())
        except ControlPlaneUnavailable as error:
            self._retry_after = error.retry_after
            self._api_trouble.failed(f"{error} Trying again until it answers.")
            return None
        except NameInUse as error:
            self._api_trouble.recovered()
            self._name_trouble.failed(f"{as_sentence(error)} Trying again until it is free.")
            return None
        self._api_trouble.recovered()
        self._name_trouble.recovered()
        return joined

    def _registration_request(self) -> RegistrationRequest:
        if self.assigned_server_id is not None:
            return RegistrationRequest(name="", capabilities=self._last_report.capabilities)
        return self.identity.registration_request(self._last_report)

    def _send_heartbeat(self, server_id: int) -> tuple[int, float]:
        """The server_id, which is another one after a new registration, and the seconds to rest."""
        capabilities = self._report_machine("Heartbeats go on with the figures known so far.")
        self._stop_if_asked()
        self.notifier.ping_watchdog()
        try:
            heard = self.control_plane.heartbeat(server_id, capabilities, epoch=self._epoch)
        except ServerNotFound:
            self._api_trouble.recovered()
            _log.warning(
                "The API does not know server %d any more: registering again.",
                server_id,
                extra={"server_id": server_id},
            )
            return self._register()
        except CredentialRequired:
            self._api_trouble.recovered()
            _log.warning(
                "The API wants a credential of server %d: registering again for one.",
                server_id,
                extra={"server_id": server_id},
            )
            return self._register()
        except ControlPlaneUnavailable as error:
            self._api_trouble.failed(f"{error} Trying again until it answers.")
            self._failed_heartbeats += 1
            # At least as often as it would beat: whoever hears it again waits three intervals
            # for it, and no longer.
            longest = self._interval.total_seconds()
            wait = retry_delay(self._failed_heartbeats, self.random(), longest, error.retry_after)
            return server_id, wait
        self._api_trouble.recovered()
        self._failed_heartbeats = 0
        self._interval = heard.next_heartbeat
        if heard.credential:
            self.identity.renewed(heard.credential)
        self._sync(server_id, heard.approval, heard.config_revision)
        return server_id, heard.next_heartbeat.total_seconds()

    def _leave(self) -> None:
        self.notifier.state_changed(HostState.LEAVING)
        if self._server_id is None:
            _log.info("Stopped before this host was registered.")
            return
        self.leave_fleet(self._server_id, self._epoch, self.notifier.ping_watchdog)

    def _report_machine(self, meanwhile: str) -> Capabilities | None:
        """What the machine can do now, or None, said once, while its engine is away."""
        self.notifier.ping_watchdog()
        try:
            self._last_report = self.machine.report()
        except EngineUnavailable as error:
            self._engine_trouble.failed(f"{error} {meanwhile}")
            return None
        self._engine_trouble.recovered()
        return self._last_report.capabilities

    def _sync(self, server_id: int, approval: Approval, revision_for_host: int) -> None:
        waits = approval is Approval.PENDING
        if waits and not self._is_pending:
            _log.warning(
                "Server %d waits for an operator to let it in, by `manmanv2 servers approve %d`;"
                " until then it gets no configuration and no commands.",
                server_id,
                server_id,
                extra={"server_id": server_id},
            )
        elif self._is_pending and approval is Approval.APPROVED:
            _log.info("Server %d was let in.", server_id, extra={"server_id": server_id})
        # Refused by an operator, where the API only warns of it, it is not let in either.
        if approval.admits:
            self._is_pending = waits
        # Who waits is told a revision only where the API does not make it wait in earnest.
        if self.sync_configuration and (revision_for_host or not waits):
            self.sync_configuration(server_id, revision_for_host, self.notifier.ping_watchdog)

    def _sleep(self, seconds: float) -> None:
        if not self._ready:
            # A start that cannot succeed has ended by now, so a service manager reports it as
            # failed. One that waits for Docker or the API must not hold up the machine's boot.
            self._ready = True
            self.notifier.ready()
        # What comes now belongs to no request any more.
        current_request_id.set("")
        while seconds > 0:
            self.notifier.ping_watchdog()
            turn = min(seconds, self.notifier.watchdog_interval)
            if self.sleep.wait(turn):
                raise _StopRequested
            if self.commands and self.commands.take():
                # Whatever is asked for, a heartbeat does it: it reports, and it follows the
                # configuration.
                return
            seconds -= turn

    def _stop_if_asked(self) -> None:
        if self.sleep.wait(0):
            raise _StopRequested
