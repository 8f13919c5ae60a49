from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from application.doctor.access_checks import (
    check_api,
    check_api_clock,
    check_key,
    check_store,
    skip_api,
)
from application.doctor.api_access import ApiAccess
from application.doctor.engine_check import EngineCheck
from application.doctor.environment_checks import (
    check_broker,
    check_folder,
    check_management_port,
)
from application.doctor.name_check import NameCheck
from application.doctor.run_checks import Check
from application.ports.probes.broker_probe import BrokerProbe
from application.ports.probes.port_probe import PortProbe

_API_SETTINGS = ("API_ADDRESS", "API_USE_TLS", "API_CA_CERT_PATH", "API_TLS_SERVER_NAME")
_BROKER_SETTINGS = ("RABBITMQ_URL", "RABBITMQ_CA_CERT_PATH")


@dataclass(frozen=True)
class HostChecks:
    """What a host manager needs to join, in the order in which it needs it."""

    engine: EngineCheck
    name: NameCheck
    # None for a host that uses no broker.
    broker: BrokerProbe | None
    # None for a host that does not register.
    access: ApiAccess | None
    # Empty if the API is reached over the broker.
    api_address: str
    # No host has this key.
    random_key: str = field(repr=False)
    config_dir: Path | None
    state_dir: Path | None
    # Why this user cannot write to the directory, empty if it can.
    write_problem: Callable[[Path], str]
    metrics_address: str
    ports: PortProbe
    # Whether a host manager's management server answers at the address.
    management_server_answers: Callable[[str], bool]

    def checks(self) -> Sequence[Check]:
        return [
            Check("Docker", self.engine, ("DOCKER_SOCKET", "DOCKER_OPTIONAL")),
            Check("Name", self.name, ("SERVER_NAME", "ENVIRONMENT")),
            *self._broker_checks(),
            *self._api_checks(),
            *self._folder_checks(),
            *self._management_port_checks(),
        ]

    def _broker_checks(self) -> Sequence[Check]:
        if self.broker is None:
            return ()
        run = partial(check_broker, self.broker, after_an_api=True)
        return (Check("Broker", run, _BROKER_SETTINGS, "the broker cannot be used"),)

    def _api_checks(self) -> Sequence[Check]:
        needs = _API_SETTINGS if self.api_address else ("Broker",)
        reason = "the API cannot be reached"
        if self.access is None:
            return (Check("API", skip_api, needs, reason),)
        checks = [
            Check("API", partial(check_api, self.access, self.api_address), needs, reason),
            Check(
                "Key",
                partial(check_key, self.access, self.random_key),
                ("API", "REGISTRATION_KEY"),
                "the API refuses the key",
            ),
            Check("Database", partial(check_store, self.access), ("Key",)),
        ]
        # An answer over the broker does not contain the API's time.
        if self.api_address:
            checks.append(Check("Clock", partial(check_api_clock, self.access), ("API",)))
        return checks

    def _folder_checks(self) -> Sequence[Check]:
        # A host that does not register stores no state.
        state_dir = self.state_dir if self.access else None
        folders = (
            ("Folder", "CONFIG_DIR", self.config_dir),
            ("State", "STATE_DIR", state_dir),
        )
        return [
            Check(name, partial(check_folder, setting, folder, self.write_problem), (setting,))
            for name, setting, folder in folders
            if folder
        ]

    def _management_port_checks(self) -> Sequence[Check]:
        if not self.metrics_address:
            return ()
        run = partial(
            check_management_port,
            self.metrics_address,
            self.ports,
            self.management_server_answers,
            "manmanv2-host",
        )
        return (Check("Metrics", run, ("METRICS_ADDRESS",)),)
