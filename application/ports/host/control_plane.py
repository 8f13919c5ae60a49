from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from application.ports.diagnosis import DiagnosedFailure
from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.machine_evidence import NO_EVIDENCE, Evidence


class ControlPlaneUnavailable(DiagnosedFailure):
    """It cannot be reached or cannot answer now. The message is one sentence for an operator.

    `retry_after` is the number of seconds it asks the host to wait, 0 if it asks for none.
    """

    def __init__(
        self, problem: str, fix: str = "", *, separator: str = ": ", retry_after: float = 0.0
    ) -> None:
        super().__init__(problem, fix, separator=separator)
        self.retry_after = retry_after


class ControlPlaneRefused(DiagnosedFailure):
    """It refused the call, and the same call would be refused again.

    The message is one sentence that says what to change.
    """


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What a host reports when it joins. An ephemeral server may be deleted while it is offline."""

    name: str
    environment: str = ""
    capabilities: Capabilities | None = None
    evidence: Evidence = NO_EVIDENCE
    labels: Mapping[str, str] = field(default_factory=dict)
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class RegistrationResult:
    """`name` is the server's name. It differs from the host's if an operator decided so.

    `epoch` goes with each heartbeat; it is 0 if the control plane counts none. `credential` must
    be presented from now on; it is empty if the control plane issues none.
    """

    server_id: int
    next_heartbeat: timedelta
    config_revision: int
    name: str = ""
    epoch: int = 0
    approval: Approval = Approval.APPROVED
    credential: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    """`credential` replaces the last one. It is mostly empty: then the last one stays valid."""

    next_heartbeat: timedelta
    config_revision: int
    approval: Approval = Approval.APPROVED
    credential: str = field(default="", repr=False)


class ControlPlane(Protocol):
    """The API as a host sees it, over any transport.

    Every call ends within a bounded time, and may raise ControlPlaneUnavailable and NotAdmitted;
    all except `register` may raise ServerNotFound. The adapter decides which key and credential
    to present.
    """

    def register(self, registration_request: RegistrationRequest) -> RegistrationResult:
        """Raises InvalidRegistrationKey, NameInUse and ControlPlaneRefused."""
        ...

    def heartbeat(
        self,
        server_id: int,
        capabilities: Capabilities | None,
        *,
        epoch: int = 0,
        leaving: bool = False,
    ) -> HeartbeatResult:
        """Raises SupersededRegistration, and CredentialRequired: then the host must register."""
        ...

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        """The changes since the known revision. `after_revision` is the revision at which the last
        answer ended, if it had more. Raises InvalidRegistrationKey."""
        ...

    def deregister(self, server_id: int, instance_id: str) -> None:
        """Leave for good. Raises InvalidRegistrationKey, and SupersededRegistration if another
        process than this instance has the server."""
        ...


class ConnectedControlPlane(ControlPlane, Protocol):
    """A control plane with a connection, which its owner must close."""

    def close(self) -> None: ...
