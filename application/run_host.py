import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from application.follow_configuration import FollowConfiguration
from application.passing_trouble import PassingTrouble
from application.ports.commands import Commands
from application.ports.control_plane import (
    ControlPlane,
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    Joined,
)
from application.ports.machine import EngineUnavailable, Machine, MachineReport
from application.ports.notifier import Notifier
from application.ports.pause import Pause
from application.request_id import current_request_id
from domain.backoff import wait_before_retry
from domain.capabilities import Capabilities
from domain.errors import ServerNotFound
from domain.host_state import HostState
from domain.naming import choose_name

_log = logging.getLogger(__name__)


class _AskedToStop(Exception):
    pass


@dataclass
class RunHost:
    """A host's life: detect what the machine can do, register, heartbeat, leave when asked to.

    What can pass is retried for ever. Raises InvalidRegistrationKey, ControlPlaneRefused, and
    InvalidField for a name against the rules: then somebody has to change a setting.

    The notifier hears that it is alive before everything that can last, so that a watchdog has
    to bear with one slow look or call, and not with all of them in a row.
    """

    control_plane: ControlPlane
    machine: Machine
    follow_configuration: FollowConfiguration | None
    pause: Pause
    notifier: Notifier
    # From 0 to 1: hosts that started or failed together must not march in step.
    random: Callable[[], float]
    server_name: str
    environment: str
    random_suffix: str
    commands: Commands | None = None
    # The id of a server that is there already: then nothing is registered.
    given_server_id: int | None = None

    _name: str = field(init=False, default="")
    _last_report: MachineReport = field(init=False)
    _server_id: int | None = field(init=False, default=None)
    _interval: timedelta = field(init=False)
    _failed_heartbeats: int = field(init=False, default=0)
    _ready: bool = field(init=False, default=False)
    _engine_trouble: PassingTrouble = field(
        init=False, default_factory=lambda: PassingTrouble(_log, "Docker answers again.")
    )
    _api_trouble: PassingTrouble = field(
        init=False, default_factory=lambda: PassingTrouble(_log, "The API answers again.")
    )

    def __call__(self) -> None:
        """Returns once it was asked to stop and has left."""
        with suppress(_AskedToStop):
            self._detect()
            self._choose_name()
            server_id, wait = self._register()
            while True:
                self._rest(wait)
                server_id, wait = self._beat(server_id)
        self._leave()

    def _detect(self) -> None:
        self.notifier.entered(HostState.DETECTING)
        failures = 0
        while self._look("Trying again until it answers.") is None:
            failures += 1
            self._rest(wait_before_retry(failures, self.random()))

    def _choose_name(self) -> None:
        if self.given_server_id is not None:
            return
        chosen = choose_name(
            self.server_name, self._last_report.hostname, self.environment, self.random_suffix
        )
        self._name = chosen.name
        if chosen.ephemeral:
            _log.warning(
                "The name %s is made up for this run and the next one gets another server_id:"
                " set ENVIRONMENT or SERVER_NAME for a name that stays.",
                chosen.name,
                extra={"server_name": chosen.name},
            )

    def _register(self) -> tuple[int, float]:
        """The server_id, and the seconds to rest until the first heartbeat."""
        self.notifier.entered(HostState.REGISTERING)
        failures = 0
        while (joined := self._try_to_register()) is None:
            failures += 1
            self._rest(wait_before_retry(failures, self.random()))
            self._look("Registering with the figures known so far.")
        self._failed_heartbeats = 0
        self._interval = joined.next_heartbeat
        self._server_id = joined.server_id
        self._tell_that_it_joined(joined.server_id)
        self.notifier.entered(HostState.RUNNING)
        if self.commands:
            self.commands.listen(joined.server_id)
        self._follow(joined.server_id, joined.config_revision)
        return joined.server_id, joined.next_heartbeat.total_seconds() * (1 - self.random() / 2)

    def _tell_that_it_joined(self, server_id: int) -> None:
        if self.given_server_id is not None:
            _log.info("Online as server %d.", server_id, extra={"server_id": server_id})
            return
        _log.info(
            "Registered as server %d under the name %s.",
            server_id,
            self._name,
            extra={
                "server_id": server_id,
                "server_name": self._name,
                "environment": self.environment,
            },
        )

    def _try_to_register(self) -> Joined | None:
        self._stop_if_asked()
        self.notifier.alive()
        try:
            joined = self.control_plane.register(
                self._name, self.environment, self._last_report.capabilities
            )
        except ControlPlaneUnavailable as error:
            self._api_trouble.strikes(f"{error} Trying again until it answers.")
            return None
        self._api_trouble.ends()
        return joined

    def _beat(self, server_id: int) -> tuple[int, float]:
        """The server_id, which is another one after a new registration, and the seconds to rest."""
        capabilities = self._look("Heartbeats go on with the figures known so far.")
        self._stop_if_asked()
        self.notifier.alive()
        try:
            heard = self.control_plane.heartbeat(server_id, capabilities)
        except ServerNotFound:
            self._api_trouble.ends()
            _log.warning(
                "The API does not know server %d any more: registering again.",
                server_id,
                extra={"server_id": server_id},
            )
            return self._register()
        except ControlPlaneUnavailable as error:
            self._api_trouble.strikes(f"{error} Trying again until it answers.")
            self._failed_heartbeats += 1
            # At least as often as it would beat: whoever hears it again waits three intervals
            # for it, and no longer.
            longest = self._interval.total_seconds()
            return server_id, wait_before_retry(self._failed_heartbeats, self.random(), longest)
        self._api_trouble.ends()
        self._failed_heartbeats = 0
        self._interval = heard.next_heartbeat
        self._follow(server_id, heard.config_revision)
        return server_id, heard.next_heartbeat.total_seconds()

    def _leave(self) -> None:
        self.notifier.entered(HostState.LEAVING)
        if self._server_id is None:
            _log.info("Stopped before this host was registered.")
            return
        said = {"server_id": self._server_id}
        self.notifier.alive()
        try:
            self.control_plane.heartbeat(self._server_id, None, leaving=True)
        except (ControlPlaneRefused, ControlPlaneUnavailable, ServerNotFound) as error:
            _log.warning(
                "Stopped without telling the API, which will notice by this host's silence: %s",
                error,
                extra=said,
            )
        else:
            _log.info("Stopped; the API shows server %d as offline.", self._server_id, extra=said)

    def _look(self, meanwhile: str) -> Capabilities | None:
        """What the machine can do now, or None, said once, while its engine is away."""
        self.notifier.alive()
        try:
            self._last_report = self.machine.report()
        except EngineUnavailable as error:
            self._engine_trouble.strikes(f"{error} {meanwhile}")
            return None
        self._engine_trouble.ends()
        return self._last_report.capabilities

    def _follow(self, server_id: int, told_revision: int) -> None:
        if self.follow_configuration:
            self.follow_configuration(server_id, told_revision, self.notifier.alive)

    def _rest(self, seconds: float) -> None:
        if not self._ready:
            # A start that cannot succeed has ended by now, so a service manager reports it as
            # failed. One that waits for Docker or the API must not hold up the machine's boot.
            self._ready = True
            self.notifier.ready()
        # What comes now belongs to no request any more.
        current_request_id.set("")
        while seconds > 0:
            self.notifier.alive()
            turn = min(seconds, self.notifier.longest_silence)
            if self.pause.wait(turn):
                raise _AskedToStop
            if self.commands and self.commands.take():
                # Whatever is asked for, a heartbeat does it: it reports, and it follows the
                # configuration.
                return
            seconds -= turn

    def _stop_if_asked(self) -> None:
        if self.pause.wait(0):
            raise _AskedToStop
