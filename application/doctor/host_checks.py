from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from application.doctor.check_result import Cause, CheckResult, Outcome
from application.doctor.environment_checks import check_broker, check_clock, check_side_port
from application.doctor.run_checks import Check
from application.ports.diagnosis import Diagnosis
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.machine import EngineUnavailable, Machine
from application.ports.host.state_folder import SavedState
from application.ports.probes.api_probe import ApiProbe, KeyTrial
from application.ports.probes.broker_probe import BrokerProbe
from application.ports.probes.port_probe import PortProbe
from domain.errors import InvalidField, InvalidRegistrationKey
from domain.naming import choose_name
from domain.shared_keys import stripped_key

_MEBIBYTES_PER_GIBIBYTE = 1024
# What stands in a name where a start puts random characters.
_RANDOM_PART = "????????"
_HOW_THE_API_IS_REACHED = (
    "API_ADDRESS",
    "API_USE_TLS",
    "API_CA_CERT_PATH",
    "API_TLS_SERVER_NAME",
)


@dataclass
class HostChecks:
    """What a host manager needs to join, looked at in the order in which it needs it."""

    server_name: str
    environment: str
    server_id: int | None
    registration_key: str = field(repr=False)
    # Further ones, where a file holds several.
    other_keys: Sequence[str] = field(repr=False)
    # One that nobody has been given.
    random_key: str = field(repr=False)
    api_address: str
    docker_socket: Path
    docker_optional: bool
    in_container: bool
    config_dir: Path | None
    state_dir: Path | None
    metrics_address: str

    engine: Machine
    itself: Machine
    # Another socket at which an engine does answer.
    other_engine_socket: Callable[[], Path | None]
    # None for a host that does not register.
    api: ApiProbe | None
    # None for one that does without.
    broker: BrokerProbe | None
    over_amqp: bool
    # What STATE_DIR holds that can be used.
    kept: Callable[[], SavedState | None]
    # Why this user may not write there, empty if it may.
    write_problem: Callable[[Path], str]
    ports: PortProbe
    side_port_answers: Callable[[str], bool]

    _hostname: str = field(init=False, default="")
    # The last one that was tried.
    _key: str = field(init=False, repr=False)
    _trial: KeyTrial = field(init=False, repr=False)
    # Of its server; empty where none is kept.
    _credential: str = field(init=False, repr=False)

    def checks(self) -> Sequence[Check]:
        checks = [
            Check("Docker", self._check_engine, ("DOCKER_SOCKET", "DOCKER_OPTIONAL")),
            Check("Name", self._check_name, ("SERVER_NAME", "ENVIRONMENT")),
        ]
        if self.broker:
            needs = ("RABBITMQ_URL", "RABBITMQ_CA_CERT_PATH")
            checks.append(Check("Broker", self._check_broker, needs, "the broker cannot be used"))
        checks += [
            Check(
                "API",
                self._check_api,
                ("Broker",) if self.over_amqp else _HOW_THE_API_IS_REACHED,
                "the API cannot be reached",
            ),
        ]
        if self.api:
            checks += [
                Check(
                    "Key", self._check_key, ("API", "REGISTRATION_KEY"), "the API refuses the key"
                ),
                Check("Database", self._check_store, ("Key",)),
            ]
        if self.api and not self.over_amqp:
            checks.append(Check("Clock", self._check_clock, ("API",)))
        if self.config_dir:
            checks.append(Check("Folder", self._check_folder, ("CONFIG_DIR",)))
        if self.state_dir and self.server_id is None:
            checks.append(Check("State", self._check_state, ("STATE_DIR",)))
        if self.metrics_address:
            checks.append(Check("Metrics", self._check_side_port, ("METRICS_ADDRESS",)))
        return checks

    def _check_engine(self) -> CheckResult:
        try:
            report = self.engine.report()
        except EngineUnavailable as error:
            return self._engine_failure(error.diagnosis)
        self._hostname = report.hostname
        machine = report.capabilities
        return CheckResult.ok(
            f"Docker {machine.docker_version} at {self.docker_socket}, {machine.cpu_cores} cores,"
            f" {machine.total_memory_mb / _MEBIBYTES_PER_GIBIBYTE:.1f} GiB"
        )

    def _engine_failure(self, diagnosis: Diagnosis) -> CheckResult:
        cure = diagnosis.fix
        elsewhere = self.other_engine_socket()
        if elsewhere:
            cure = f"Docker answers at another place, set DOCKER_SOCKET={elsewhere}"
        if self.docker_optional:
            return CheckResult.warning(
                f"{diagnosis.problem}, and DOCKER_OPTIONAL does without", cure
            )
        return CheckResult.failure(diagnosis.problem, cure, Cause.ENVIRONMENT)

    def _check_name(self) -> CheckResult:
        if self.server_id is not None:
            return CheckResult.ok(f"server {self.server_id}, from SERVER_ID")
        foreign = self.in_container and not self._hostname
        if foreign and not self.server_name and not self.docker_optional:
            return CheckResult(
                Outcome.SKIP, "not known, because in a container Docker tells the machine's name"
            )
        hostname = self._hostname or self.itself.report().hostname
        state = self.kept()
        kept = state.saved_name if state else None
        try:
            chosen = choose_name(self.server_name, hostname, self.environment, _RANDOM_PART, kept)
        except InvalidField as error:
            return CheckResult.failure(
                f"this host cannot be named so, {error}", "set SERVER_NAME", Cause.SETTING
            )
        if kept and chosen == kept.chosen and not self.server_name:
            return CheckResult.ok(f"{chosen.name}, kept from the last start in STATE_DIR")
        if chosen.ephemeral and self.state_dir:
            return CheckResult.ok(
                f"{chosen.name}, made up at the first start and kept in STATE_DIR"
            )
        if chosen.ephemeral:
            return CheckResult.warning(
                f"{chosen.name}, made up anew at each start, which so may get another server_id",
                "set ENVIRONMENT or SERVER_NAME",
            )
        if self.server_name:
            return CheckResult.ok(f"{chosen.name}, from SERVER_NAME")
        if foreign:
            return CheckResult.warning(
                f"{chosen.name}, from the container's hostname, so that another container gets"
                " another server_id",
                "see that Docker can be asked, or set SERVER_NAME",
            )
        source = "Docker's name of the machine" if self.in_container else "hostname"
        return CheckResult.ok(f"{chosen.name}, from {source} and ENVIRONMENT")

    def _check_broker(self) -> CheckResult:
        assert self.broker
        return check_broker(self.broker, after_an_api=True)

    def _check_api(self) -> CheckResult:
        if self.api is None:
            return CheckResult(
                Outcome.SKIP, "not asked, because with a SERVER_ID a host speaks to the broker only"
            )
        state = self.kept()
        self._credential = state.credential if state else ""
        self._try_keys(self.api)
        return CheckResult.ok(
            "an API answers over the broker"
            if self.over_amqp
            else f"a ManMan API answers at {self.api_address}"
        )

    def _try_keys(self, api: ApiProbe) -> None:
        """Raises what a join key is refused with unless another key is taken."""
        refusal: ControlPlaneRefused | None = None
        for key in (self.registration_key, *self.other_keys):
            try:
                self._key, self._trial = key, self._tried(api, key)
            except ControlPlaneRefused as error:
                refusal = refusal or error
                continue
            if self._trial.admitted:
                return
        if refusal:
            raise refusal

    def _tried(self, api: ApiProbe, key: str) -> KeyTrial:
        try:
            return api.try_key(key)
        except ControlPlaneRefused:
            if not self._credential:
                raise
            # A join key that was revoked is no matter to a host that has joined.
            return replace(api.try_key(key, self._credential), admitted=False)

    def _check_key(self) -> CheckResult:
        assert self.api
        if not self._trial.admitted:
            return self._credential_instead(self.api) or self._refused_key(self.api)
        if self.api.try_key(self.random_key).admitted:
            return CheckResult.warning(
                "the API takes any key, so everybody may join",
                "set REGISTRATION_KEY on the API and start it again",
            )
        if self._key != self.registration_key:
            return CheckResult.ok(
                "the API takes another key of REGISTRATION_KEY_FILE than the first"
            )
        return CheckResult.ok("the API takes REGISTRATION_KEY")

    def _credential_instead(self, api: ApiProbe) -> CheckResult | None:
        if not self._credential or not api.try_key(self._key, self._credential).admitted:
            return None
        told = "the API takes the credential of this host, which STATE_DIR keeps"
        if not self.registration_key:
            return CheckResult.ok(told)
        return CheckResult.warning(
            f"{told}, and not REGISTRATION_KEY",
            "leave the key out, or set it to one that the API takes",
        )

    def _refused_key(self, api: ApiProbe) -> CheckResult:
        key = self.registration_key
        if not key:
            return CheckResult.failure(
                "REGISTRATION_KEY is not set, and the API wants one",
                "set it to the same as the API's, where the service reads its settings",
                Cause.SETTING,
            )
        if stripped_key(key) != key and api.try_key(stripped_key(key)).admitted:
            return CheckResult.failure(
                "REGISTRATION_KEY has blanks or quotes around it",
                "take them away, the API takes the key without them",
                Cause.SETTING,
            )
        return CheckResult.failure(
            "REGISTRATION_KEY is not the API's",
            "set it to the same as the API's, without blanks or line ends around it",
            Cause.SETTING,
        )

    def _check_store(self) -> CheckResult:
        assert self.api
        try:
            self.api.ping_store(self._key)
        except ControlPlaneUnavailable:
            return CheckResult.failure(
                "the API does not reach its database, or is too busy",
                "its log says why, and so does `manmanv2 doctor api` on its machine",
                Cause.ENVIRONMENT,
            )
        except InvalidRegistrationKey:
            # A join key, which is looked up there: it speaks for no server but those that joined
            # with it.
            pass
        return CheckResult.ok("the API reaches its database")

    def _check_clock(self) -> CheckResult:
        if self._trial.clock is None:
            return CheckResult(
                Outcome.SKIP, "not known, because the API is too old to tell its time"
            )
        return check_clock("the API's", self._trial.clock)

    def _check_folder(self) -> CheckResult:
        assert self.config_dir
        return self._writable("CONFIG_DIR", self.config_dir)

    def _check_state(self) -> CheckResult:
        assert self.state_dir
        return self._writable("STATE_DIR", self.state_dir)

    def _writable(self, variable: str, folder: Path) -> CheckResult:
        why_not = self.write_problem(folder)
        if why_not:
            return CheckResult.failure(
                f"{variable} {folder} {why_not}",
                "mend the folder or its permissions",
                Cause.ENVIRONMENT,
            )
        return CheckResult.ok(f"this user may write to {folder}")

    def _check_side_port(self) -> CheckResult:
        return check_side_port(
            self.metrics_address, self.ports, self.side_port_answers, "manmanv2-host"
        )
