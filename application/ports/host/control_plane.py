from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from domain.approval import Approval
from domain.capabilities import Capabilities
from domain.configuration import ConfigurationChanges
from domain.machine_evidence import NO_EVIDENCE, Evidence


class ControlPlaneUnavailable(Exception):
    """It cannot be reached or cannot answer now. The message is one sentence for an operator.

    `retry_after` is for how many seconds it asks to be left alone, 0 where it says nothing of it.
    """

    def __init__(self, sentence: str, retry_after: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class ControlPlaneRefused(Exception):
    """It answered, and trying again with the same words makes no sense.

    The message is one sentence that says what to change.
    """


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """What a host says of itself when it joins. An ephemeral one may be deleted while away."""

    name: str
    environment: str = ""
    capabilities: Capabilities | None = None
    evidence: Evidence = NO_EVIDENCE
    labels: Mapping[str, str] = field(default_factory=dict)
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class RegistrationResult:
    """`name` is the server's, which is another than the host's where an operator decided so.

    `epoch` goes with each heartbeat, 0 where the control plane counts none. `credential` is to be
    shown from now on, empty where it issues none.
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
    """`credential` is to be shown in place of the last one, mostly empty: then that stays."""

    next_heartbeat: timedelta
    config_revision: int
    approval: Approval = Approval.APPROVED
    credential: str = field(default="", repr=False)


class ControlPlane(Protocol):
    """The API as a host sees it, over whatever transport.

    Every call raises ControlPlaneUnavailable, and within a bounded time. What of keys and
    credentials is shown is the adapter's business. All but `register` raise ServerNotFound, and
    all NotAdmitted.
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
        """Raises Replaced, and CredentialRequired, after which a registration helps."""
        ...

    def fetch_configuration(
        self, server_id: int, known_revision: int, after_revision: int = 0
    ) -> ConfigurationChanges:
        """What changed since the revision that is known; `after_revision` is where the last
        answer ended, if it had more. Raises InvalidRegistrationKey."""
        ...

    def deregister(self, server_id: int, instance_id: str) -> None:
        """Leave for good. Raises InvalidRegistrationKey, and Replaced when another process than
        this instance has the server."""
        ...


class ConnectedControlPlane(ControlPlane, Protocol):
    """One that holds a connection, which its owner closes."""

    def close(self) -> None: ...
