from dataclasses import replace

import pytest

from application.host.deregister_host import DeregisterHost, NothingToDeregister
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneUnavailable
from application.ports.host.state_folder import SavedState
from domain.errors import ServerNotFound, SupersededRegistration
from tests.support.canary_secrets import canary
from tests.support.fakes import EVIDENCE, FakeControlPlane, FakeMachineEvidence, FakeStateFolder

INSTANCE = "1" * 32
CREDENTIAL = canary("credential")
STATE = SavedState(
    server_id=42,
    name="mars",
    environment="",
    ephemeral=False,
    epoch=3,
    # The engine's ID is kept too, and Docker is not asked for it.
    evidence=replace(EVIDENCE, engine_id="d" * 32, instance_id=INSTANCE),
    credential=CREDENTIAL,
)


def deregister(
    api: FakeControlPlane, folder: FakeStateFolder, evidence: FakeMachineEvidence | None = None
) -> bool:
    """Whether the server was already deleted."""
    keys = KeyRing.single("")
    done = DeregisterHost(api, folder, evidence or FakeMachineEvidence(), keys)()

    assert done.state == STATE
    assert keys.credential == CREDENTIAL
    return done.was_gone


def test_the_server_in_the_state_is_deregistered() -> None:
    api, folder = FakeControlPlane(), FakeStateFolder(STATE)

    assert not deregister(api, folder)
    assert api.deregistered == [(42, INSTANCE)]
    assert folder.state is None


def test_deregistering_a_server_that_is_already_deleted_succeeds() -> None:
    folder = FakeStateFolder(STATE)

    assert deregister(FakeControlPlane(deregistering=[ServerNotFound(42)]), folder)
    assert folder.state is None


@pytest.mark.parametrize(
    "failure",
    [ControlPlaneUnavailable("It is away"), SupersededRegistration(42, "another process")],
)
def test_the_state_is_kept_if_the_server_was_not_deregistered(failure: Exception) -> None:
    folder = FakeStateFolder(STATE)

    with pytest.raises(type(failure)):
        deregister(FakeControlPlane(deregistering=[failure]), folder)

    assert folder.state == STATE


def test_without_a_stored_state_the_api_is_not_called() -> None:
    api = FakeControlPlane()

    with pytest.raises(NothingToDeregister, match="contains no state"):
        deregister(api, FakeStateFolder())

    assert api.deregistered == []


def test_a_copied_state_cannot_deregister_the_machine_that_it_was_copied_from() -> None:
    api, folder = FakeControlPlane(), FakeStateFolder(STATE)
    elsewhere = FakeMachineEvidence(replace(EVIDENCE, hardware_id="e" * 32, boot_id="f" * 32))

    with pytest.raises(NothingToDeregister, match=r"copied from another machine, server 42"):
        deregister(api, folder, elsewhere)

    assert api.deregistered == []
    assert folder.state == STATE
