from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from application.doctor.check_result import CheckResult, Outcome
from application.doctor.environment_checks import (
    check_broker,
    check_clock,
    check_management_port,
    free_port,
    port_failure,
)
from application.doctor.run_checks import Check
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.probes.api_probe import ApiProbe, KeyTrial
from application.ports.probes.broker_probe import BrokerProbe
from application.ports.probes.database_probe import DatabaseProbe
from application.ports.probes.port_probe import PortProbe, PortState
from domain.shared_keys import stripped_key


@dataclass
class ApiChecks:
    """What an API needs to serve, and whether an API already serves at its address."""

    listen_address: str
    metrics_address: str
    registration_key: str = field(repr=False)
    # Whether every host needs a key, even if REGISTRATION_KEY is not set.
    key_required: bool
    # No host has this key.
    random_key: str = field(repr=False)
    has_operator_key: bool

    # None in memory.
    database: DatabaseProbe | None
    broker: BrokerProbe | None
    ports: PortProbe
    # The process that answers at the listen address.
    running: ApiProbe
    management_server_answers: Callable[[str], bool]
    # None for an API without TLS.
    certificate: Callable[[], CheckResult] | None = None
    # None without an OIDC provider.
    oidc_provider: Callable[[], CheckResult] | None = None

    # The answer of the running API to our key; None if none runs.
    _trial: KeyTrial | None = field(init=False, default=None)

    def checks(self) -> Sequence[Check]:
        checks = [
            Check(
                "Database", self._check_database, ("DATABASE_URL",), "the database cannot be used"
            )
        ]
        if self.database:
            checks.append(Check("Clock", self._check_clock, ("Database",)))
        if self.broker:
            needs = ("RABBITMQ_URL", "RABBITMQ_CA_CERT_PATH")
            checks.append(Check("Broker", self._check_broker, needs))
        if self.certificate:
            checks.append(Check("TLS", self.certificate, ("TLS_CERT_PATH", "TLS_KEY_PATH")))
        if self.oidc_provider:
            settings = ("OIDC_ISSUER", "OIDC_JWKS_URL", "OIDC_CA_CERT_PATH")
            checks.append(Check("OIDC", self.oidc_provider, settings))
        checks += [
            Check("Port", self._check_port, ("LISTEN_ADDRESS",)),
            Check("Key", self._check_key, ("REGISTRATION_KEY",)),
            Check("Operators", self._check_operators, ("OPERATOR_KEY",)),
        ]
        if self.metrics_address:
            checks.append(Check("Metrics", self._check_management_port, ("METRICS_ADDRESS",)))
        return checks

    def _check_database(self) -> CheckResult:
        if self.database is None:
            return CheckResult.ok("memory://, which loses everything when the API stops")
        return CheckResult.ok(self.database.describe())

    def _check_clock(self) -> CheckResult:
        assert self.database
        reading = self.database.read_clock()
        if reading is None:
            return CheckResult(Outcome.SKIP, "not checked, because an SQLite file has no clock")
        return check_clock("PostgreSQL's", reading)

    def _check_broker(self) -> CheckResult:
        assert self.broker
        return check_broker(self.broker, after_an_api=False)

    def _check_port(self) -> CheckResult:
        status = self.ports.check(self.listen_address)
        if status.state is PortState.FREE:
            return free_port(self.listen_address, "manmanv2-api")
        if status.state is not PortState.TAKEN:
            return port_failure("LISTEN_ADDRESS", self.listen_address, status, "manmanv2-api")
        try:
            self._trial = self.running.try_key(self.registration_key)
        except (ControlPlaneRefused, ControlPlaneUnavailable):
            return port_failure("LISTEN_ADDRESS", self.listen_address, status, "manmanv2-api")
        return CheckResult.ok(f"manmanv2-api answers at {self.listen_address}")

    def _check_key(self) -> CheckResult:
        key = self.registration_key
        if self._trial and not self._runs_with(key):
            return CheckResult.warning(
                "the running API has another REGISTRATION_KEY than these settings",
                "restart it if these are its settings, otherwise name its file with --env-file",
            )
        if not key and self.key_required:
            return CheckResult.ok("REGISTRATION_KEY is not set, so hosts need a join key")
        if not key:
            return CheckResult.warning(
                "REGISTRATION_KEY is not set, so every host that reaches this API may join",
                "set it on the API and on its hosts",
            )
        if stripped_key(key) != key:
            return CheckResult.warning(
                "REGISTRATION_KEY has blanks or quotes around it, which are part of the key",
                "remove them",
            )
        return CheckResult.ok("REGISTRATION_KEY is set")

    def _runs_with(self, key: str) -> bool:
        assert self._trial
        if not key and self.key_required:
            return not self._trial.admitted
        accepts_any = self._trial.admitted and self.running.try_key(self.random_key).admitted
        return self._trial.admitted and accepts_any is not bool(key)

    def _check_operators(self) -> CheckResult:
        if self.oidc_provider:
            return CheckResult.ok("every operator needs a key, or a token of the OIDC provider")
        if self.has_operator_key:
            return CheckResult.ok("OPERATOR_KEY is set, and every operator needs a key")
        return CheckResult.ok(
            "OPERATOR_KEY is not set: without an admin's key, the API serves only operators on"
            " this machine"
        )

    def _check_management_port(self) -> CheckResult:
        return check_management_port(
            self.metrics_address, self.ports, self.management_server_answers, "manmanv2-api"
        )
