from dataclasses import dataclass

from application.configuration.fetch_configuration import FetchConfiguration
from application.host.key_ring import KeyRing
from application.liveness.record_heartbeat import Acknowledged, Heartbeat, RecordHeartbeat
from application.ports.host.control_plane import (
    ControlPlaneRefused,
    ControlPlaneUnavailable,
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.store.store import StoreFailed, StoreUnavailable
from application.registration.register_server import RegisterServer, Registration
from application.removal.deregister_server import DeregisterServer
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.errors import InvalidField


@dataclass(frozen=True)
class MemoryControlPlane:
    """The control plane in the same process, for a host manager without a transport."""

    register_server: RegisterServer
    record_heartbeat: RecordHeartbeat
    fetch: FetchConfiguration
    deregister_server: DeregisterServer
    keys: KeyRing

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        return self.keys.try_each(lambda key: self._register(registration_request, key))

    def _register(self, registration_request: RegistrationRequest, key: str) -> RegistrationResult:
        registration = Registration(
            name=registration_request.name,
            environment=registration_request.environment,
            capabilities=registration_request.capabilities,
            registration_key=key,
            evidence=registration_request.evidence,
            labels=registration_request.labels,
            ephemeral=registration_request.ephemeral,
            credential=self.keys.credential,
        )
        try:
            registered = self.register_server(registration)
        except InvalidField as error:
            raise ControlPlaneRefused(f"The control plane refuses this host: {error}") from None
        except (StoreUnavailable, StoreFailed) as error:
            raise ControlPlaneUnavailable(f"The control plane cannot answer: {error}") from error
        server = registered.server
        return RegistrationResult(
            server.server_id,
            registered.next_heartbeat,
            registered.config_revision,
            server.name,
            server.epoch,
            server.approval,
            registered.credential,
        )

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        heartbeat = Heartbeat(server_id, capabilities, leaving, epoch, self.keys.credential)
        try:
            [answer] = self.record_heartbeat([heartbeat])
        except (StoreUnavailable, StoreFailed) as error:
            raise ControlPlaneUnavailable(f"The control plane cannot answer: {error}") from error
        match answer:
            case Acknowledged():
                return HeartbeatResult(
                    answer.next_heartbeat,
                    answer.config_revision,
                    answer.approval,
                    answer.credential,
                )
            case InvalidField():
                raise ControlPlaneRefused(f"The control plane refuses this host: {answer}")
            case _:
                raise answer

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        try:
            return self.keys.try_each(
                lambda key: self.fetch(
                    server_id, key, known_revision, after_revision, self.keys.credential
                )
            )
        except (StoreUnavailable, StoreFailed) as error:
            raise ControlPlaneUnavailable(f"The control plane cannot answer: {error}") from error

    def deregister(self, server_id: int, instance_id: str) -> None:
        try:
            self.keys.try_each(
                lambda key: self.deregister_server(
                    server_id, key, instance_id, self.keys.credential
                )
            )
        except (StoreUnavailable, StoreFailed) as error:
            raise ControlPlaneUnavailable(f"The control plane cannot answer: {error}") from error

    def close(self) -> None:
        """There is no connection."""
