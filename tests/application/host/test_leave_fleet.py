import logging
from dataclasses import dataclass, field

import pytest

from application.host.host_identity import HostIdentity
from application.host.leave_fleet import LeaveFleet
from application.ports.host.control_plane import ControlPlaneRefused, ControlPlaneUnavailable
from application.ports.host.machine import MachineReport
from domain.errors import (
    CredentialRequired,
    InvalidRegistrationKey,
    NotAdmitted,
    ServerNotFound,
    SupersededRegistration,
)
from tests.support.fakes import (
    CAPABILITIES,
    JOINED,
    FakeControlPlane,
    FakeStateFolder,
    host_identity,
)

UNAVAILABLE = ControlPlaneUnavailable("The API is away")
NOT_ADMITTED = NotAdmitted("server 42 (mars)", "was rejected by an operator")
SUPERSEDED = SupersededRegistration.from_message("server 42 was registered again")


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@dataclass
class Host:
    """A registered host that stores its state, and how often it pinged the watchdog."""

    control_plane: FakeControlPlane
    folder: FakeStateFolder = field(default_factory=FakeStateFolder)
    pings: int = 0

    def leave(self, caplog: pytest.LogCaptureFixture, *, deregisters: bool = False) -> str:
        """Leave, and return the last line of the log."""
        LeaveFleet(self.control_plane, self._registered(), deregisters)(42, 7, self._ping)
        return caplog.messages[-1]

    def _registered(self) -> HostIdentity:
        identity, report = host_identity(self.folder), MachineReport("mars", CAPABILITIES)
        identity.choose_name(report)
        identity.registration_request(report)
        identity.joined(JOINED)
        return identity

    def _ping(self) -> None:
        self.pings += 1


def test_a_host_that_stops_sends_a_leaving_heartbeat_with_its_epoch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(FakeControlPlane())
    line = host.leave(caplog)

    assert line == "Stopped; the API shows server 42 as offline."
    assert (host.control_plane.leaving_heartbeats, host.control_plane.epochs) == ([42], [7])
    assert host.control_plane.deregistered == []
    assert host.folder.state is not None


@pytest.mark.parametrize(
    "failure",
    [
        UNAVAILABLE,
        ControlPlaneRefused("The API is too old"),
        CredentialRequired(42),
        NOT_ADMITTED,
        ServerNotFound(42),
    ],
)
def test_a_leaving_heartbeat_that_fails_is_logged_and_not_repeated(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(FakeControlPlane(leaving=[failure]))
    line = host.leave(caplog)

    assert line.startswith(
        "Stopped without notifying the API, which will miss this host's heartbeats: "
    )
    assert host.control_plane.leaving_heartbeats == [42]


def test_a_replaced_host_does_not_announce_that_its_heartbeats_will_be_missed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Host(FakeControlPlane(leaving=[SUPERSEDED])).leave(caplog)

    assert line.startswith("Stopped without notifying the API: ")


def test_a_host_that_deregisters_sends_no_leaving_heartbeat_and_deletes_its_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(FakeControlPlane())
    line = host.leave(caplog, deregisters=True)

    assert line == "Stopped and deregistered; `manmanv2 servers restore 42` brings the server back."
    assert host.control_plane.deregistered == [(42, "1" * 32)]
    assert host.control_plane.leaving_heartbeats == []
    assert host.folder.state is None


def test_a_host_whose_server_is_already_deleted_deletes_its_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = Host(FakeControlPlane(deregistering=[ServerNotFound(42)]))
    line = host.leave(caplog, deregisters=True)

    assert line == "Stopped; the API had already deleted server 42."
    assert host.folder.state is None


@pytest.mark.parametrize(
    ("failure", "leaving_heartbeats"),
    [
        # A heartbeat would fail too, or belongs to another process by now.
        (UNAVAILABLE, []),
        (SUPERSEDED, []),
        (ControlPlaneRefused("The API is too old"), [42]),
        (InvalidRegistrationKey(), [42]),
        (NOT_ADMITTED, [42]),
    ],
)
def test_a_host_that_cannot_deregister_keeps_its_state(
    failure: Exception, leaving_heartbeats: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(FakeControlPlane(deregistering=[failure]))
    host.leave(caplog, deregisters=True)
    [line] = [message for message in caplog.messages if "without deregistering" in message]

    assert line.startswith("Stopped without deregistering server 42: ")
    assert ("manmanv2 servers delete 42" in line) is (failure is not SUPERSEDED)
    assert host.control_plane.leaving_heartbeats == leaving_heartbeats
    assert host.folder.state is not None


@pytest.mark.parametrize(("failing", "pings"), [([], 1), ([NOT_ADMITTED], 2)])
def test_the_watchdog_is_pinged_before_each_call(
    failing: list[Exception], pings: int, caplog: pytest.LogCaptureFixture
) -> None:
    host = Host(FakeControlPlane(deregistering=list(failing)))
    host.leave(caplog, deregisters=True)

    assert host.pings == pings
