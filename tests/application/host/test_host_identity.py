import errno
import logging
import os
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from application.host.certificate_store import CertificateStore
from application.host.host_identity import HostIdentity
from application.host.key_ring import KeyRing
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import RegistrationResult
from application.ports.host.machine import MachineReport
from application.ports.host.state_folder import QuarantineReason, SavedState
from domain.digest import digest
from domain.machine_evidence import Evidence
from tests.support.canary_secrets import canary
from tests.support.fakes import (
    CAPABILITIES,
    EVIDENCE,
    FakeCertificateFolder,
    FakeMachineEvidence,
    FakeStateFolder,
    host_identity,
)

ENGINE_ID = "f4b5e7de-9b4f-4f6e-8f0c-8a4b5f1d2c3e"
REPORT = MachineReport("mars", CAPABILITIES, ENGINE_ID)
JOINED = RegistrationResult(42, timedelta(seconds=16), config_revision=0, name="", epoch=3)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@dataclass
class Starts:
    """A host on one machine with one state folder, started again and again."""

    folder: FakeStateFolder = field(default_factory=FakeStateFolder)
    evidence: FakeMachineEvidence = field(default_factory=FakeMachineEvidence)
    count: int = 0

    def start(
        self,
        report: MachineReport = REPORT,
        joined: RegistrationResult = JOINED,
        **settings: str | bool,
    ) -> HostIdentity:
        """Each generates another name."""
        self.count += 1
        own = {"random_suffix": f"{self.count:08x}", "instance_id": f"{self.count:032x}"}
        identity = host_identity(self.folder, self.evidence, **{**own, **settings})  # type: ignore[arg-type]
        identity.lock_state_folder()
        identity.choose_name(report)
        identity.registration_request(report)
        identity.joined(joined)
        return identity


@pytest.fixture
def starts() -> Starts:
    return Starts()


def test_a_registration_contains_everything_that_the_host_knows() -> None:
    identity = host_identity(environment="production", instance_id="1" * 32, ephemeral=True)
    identity.choose_name(REPORT)
    request = identity.registration_request(REPORT)

    assert request.evidence == replace(
        EVIDENCE, engine_id=digest("engine-id", ENGINE_ID), instance_id="1" * 32
    )
    assert (request.name, request.environment) == ("mars-production", "production")
    assert (request.labels, request.capabilities) == ({"tier": "gold"}, CAPABILITIES)
    assert request.ephemeral


def test_a_machine_without_an_engine_has_no_engine_id() -> None:
    identity = host_identity()
    identity.choose_name(REPORT)

    assert identity.registration_request(replace(REPORT, engine_id="")).evidence.engine_id == ""


def test_the_stored_state_is_the_answer_of_the_control_plane(starts: Starts) -> None:
    starts.start(joined=replace(JOINED, name="mars-production"), environment="production")

    assert starts.folder.state == SavedState(
        server_id=42,
        name="mars-production",
        environment="production",
        ephemeral=False,
        epoch=3,
        evidence=replace(
            EVIDENCE, engine_id=digest("engine-id", ENGINE_ID), instance_id=f"{1:032x}"
        ),
    )


def test_without_a_state_folder_each_start_generates_another_name() -> None:
    one, other = host_identity(environment=""), host_identity(environment="", random_suffix="ff")
    for identity in (one, other):
        identity.choose_name(REPORT)

    assert (one.name, other.name) == ("mars-0a1b2c3d", "mars-ff")


# The name


def test_a_generated_name_is_stored_and_stays_ephemeral(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    first = starts.start(environment="")
    again = starts.start(environment="")

    assert first.name == again.name == "mars-00000001"
    assert again.registration_request(REPORT).ephemeral
    assert caplog.messages == [
        "Generated the name mars-00000001; STATE_DIR keeps it for the next start.",
        (
            "Using the name mars-00000001 from the last start (STATE_DIR); set SERVER_NAME to"
            " change it."
        ),
    ]


def test_the_stored_name_survives_a_new_hostname(starts: Starts) -> None:
    starts.start(environment="production")
    again = starts.start(replace(REPORT, hostname="venus"), environment="production")

    assert again.name == "mars-production"


def test_the_stored_name_survives_a_missing_environment(starts: Starts) -> None:
    starts.start(environment="production")
    forgetful = starts.start(environment="")
    kept = starts.folder.state
    mended = starts.start(replace(REPORT, hostname="venus"), environment="production")

    assert forgetful.name == mended.name == "mars-production"
    assert not forgetful.registration_request(REPORT).ephemeral
    assert kept
    assert kept.environment == "production"


def test_another_environment_makes_another_name(starts: Starts) -> None:
    starts.start(environment="production")

    assert starts.start(environment="dev").name == "mars-dev"


def test_a_configured_name_takes_precedence_over_the_stored_one(starts: Starts) -> None:
    starts.start(environment="")
    named = starts.start(environment="", server_name="phobos")

    assert named.name == "phobos"
    assert not named.registration_request(REPORT).ephemeral
    assert starts.folder.state
    assert starts.folder.state.name == "phobos"


def test_a_name_from_an_operator_is_stored(starts: Starts) -> None:
    starts.start(environment="production", joined=replace(JOINED, name="frontend"))

    assert starts.start(environment="production").name == "frontend"


def test_an_ephemeral_host_can_become_permanent(starts: Starts) -> None:
    starts.start(environment="production", ephemeral=True)
    again = starts.start(environment="production", ephemeral=False)

    assert not again.registration_request(REPORT).ephemeral


# The machine


def test_a_state_of_another_machine_is_quarantined_with_one_warning(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    starts.start(environment="")
    caplog.clear()
    starts.evidence.evidence = replace(EVIDENCE, hardware_id="d" * 32, boot_id="e" * 32)
    copied = starts.start(environment="")

    assert copied.name == "mars-00000002"
    assert starts.folder.quarantined_as == [QuarantineReason.OF_ANOTHER_MACHINE]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        (
            "STATE_DIR was copied from another machine, server 42 (mars-00000001), which differs"
            " in hardware id and boot id: the state was moved to"
            " /state/state.json.of-another-machine, and this host starts without it. Delete that"
            " file. To replace the other machine, stop it and set SERVER_NAME=mars-00000001 here."
        )
    ]


@pytest.mark.parametrize(
    "evidence",
    [
        replace(EVIDENCE, boot_id="e" * 32),
        replace(EVIDENCE, machine_id="e" * 32, boot_id="f" * 32),
        Evidence(),
    ],
    ids=["rebooted", "reinstalled", "nothing can be read"],
)
def test_a_state_that_may_be_this_machines_is_used(starts: Starts, evidence: Evidence) -> None:
    starts.start(environment="")
    starts.evidence.evidence = evidence

    assert starts.start(environment="").name == "mars-00000001"


# The folder


def test_an_unusable_folder_is_logged_once_and_the_host_continues(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    starts.folder.error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    identity = starts.start()
    identity.joined(JOINED)

    assert identity.name == "mars-production"
    assert caplog.messages == [
        (
            "This host's state cannot be stored in STATE_DIR (Read-only file system): fix the"
            " directory or its permissions. This host continues without it."
        )
    ]


def test_a_folder_that_could_not_be_locked_is_not_used(starts: Starts) -> None:
    starts.start(environment="")
    starts.folder.error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    identity = host_identity(starts.folder, starts.evidence, environment="", random_suffix="ff")
    identity.lock_state_folder()
    starts.folder.error = None
    identity.choose_name(REPORT)
    identity.registration_request(REPORT)
    identity.joined(JOINED)

    # Another host manager may have it.
    assert identity.name == "mars-ff"
    assert starts.folder.writes == 1


def test_a_full_disk_is_logged_once_and_the_state_is_stored_later(
    starts: Starts, caplog: pytest.LogCaptureFixture
) -> None:
    identity = starts.start()
    starts.folder.error = FULL
    identity.joined(JOINED)
    identity.joined(JOINED)
    starts.folder.error = None
    identity.joined(JOINED)

    assert starts.folder.writes == 2
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "This host's state cannot be stored in STATE_DIR (No space left on device)",
        "STATE_DIR is writable again.",
    ]


def test_a_deregistered_host_has_no_stored_state(starts: Starts) -> None:
    starts.start(environment="").forget()

    assert starts.folder.state is None
    assert starts.start(environment="").name == "mars-00000002"


# The credential


CREDENTIAL, RENEWED = canary("credential"), canary("renewed credential")
WITH_CREDENTIAL = replace(JOINED, credential=CREDENTIAL)


def start_with(
    keys: KeyRing, folder: FakeStateFolder | None, joined: RegistrationResult
) -> HostIdentity:
    identity = host_identity(folder, keys=keys)
    identity.choose_name(REPORT)
    identity.registration_request(REPORT)
    identity.joined(joined)
    return identity


@pytest.mark.parametrize("folder", [FakeStateFolder(), FakeStateFolder(error=FULL), None])
def test_a_credential_is_presented_until_another_is_issued(
    folder: FakeStateFolder | None,
) -> None:
    keys = KeyRing.single("")
    identity = start_with(keys, folder, WITH_CREDENTIAL)
    first = keys.credential
    identity.renewed(RENEWED)
    renewed = keys.credential
    identity.joined(replace(JOINED, credential=CREDENTIAL))

    assert (first, renewed, keys.credential) == (CREDENTIAL, RENEWED, CREDENTIAL)


def test_a_credential_survives_a_restart(starts: Starts) -> None:
    before = starts.start(joined=WITH_CREDENTIAL)
    first = starts.folder.state
    before.renewed(RENEWED)
    assert first
    assert starts.folder.state == replace(first, credential=RENEWED)
    keys = KeyRing.single("")
    host_identity(starts.folder, keys=keys).choose_name(REPORT)

    assert keys.credential == RENEWED


def test_a_renewed_credential_is_stored_before_it_is_presented() -> None:
    keys = KeyRing.single("")
    presented: list[str] = []

    class Watched(FakeStateFolder):
        def write(self, state: SavedState) -> None:
            presented.append(keys.credential)
            super().write(state)

    identity = start_with(keys, Watched(), WITH_CREDENTIAL)
    identity.renewed(RENEWED)

    assert presented == ["", CREDENTIAL]


def test_the_credential_of_another_machine_is_not_used(starts: Starts) -> None:
    starts.start(joined=WITH_CREDENTIAL)
    keys = KeyRing.single("")
    elsewhere = FakeMachineEvidence(replace(EVIDENCE, hardware_id="e" * 32, boot_id="f" * 32))
    host_identity(starts.folder, elsewhere, keys=keys).choose_name(REPORT)

    assert keys.credential == ""
    assert starts.folder.quarantined_as == [QuarantineReason.OF_ANOTHER_MACHINE]


def test_an_older_api_without_credentials_does_not_remove_that_of_the_server() -> None:
    keys, folder = KeyRing.single(""), FakeStateFolder()
    identity = start_with(keys, folder, WITH_CREDENTIAL)
    identity.joined(JOINED)
    same_server = keys.credential
    identity.joined(replace(JOINED, server_id=43))

    assert (same_server, keys.credential) == (CREDENTIAL, "")


def test_a_deregistered_host_presents_no_credential(starts: Starts) -> None:
    keys = KeyRing.single("")
    start_with(keys, starts.folder, WITH_CREDENTIAL).forget()

    assert (keys.credential, starts.folder.state) == ("", None)


def test_no_object_prints_its_credential(starts: Starts) -> None:
    keys = KeyRing.single("")
    identity = start_with(keys, starts.folder, WITH_CREDENTIAL)

    assert CREDENTIAL not in repr((identity, keys, starts.folder.state, WITH_CREDENTIAL))


CERTIFICATE = HostCertificate(JOINED.server_id, "certificate", canary("private key"), 50052)


def test_the_stored_server_s_certificate_is_used_from_the_start(starts: Starts) -> None:
    starts.start()
    store = CertificateStore(FakeCertificateFolder(CERTIFICATE))
    host_identity(starts.folder, certificate=store).choose_name(REPORT)

    assert store.current == CERTIFICATE


def test_a_certificate_without_its_state_is_not_used(starts: Starts) -> None:
    store = CertificateStore(FakeCertificateFolder(CERTIFICATE))
    elsewhere = FakeMachineEvidence(replace(EVIDENCE, hardware_id="e" * 32, boot_id="f" * 32))
    host_identity(FakeStateFolder(), certificate=store).choose_name(REPORT)
    without_a_state = store.current
    starts.start()
    host_identity(starts.folder, elsewhere, certificate=store).choose_name(REPORT)
    of_another_machine = store.current
    starts.start(joined=replace(JOINED, server_id=CERTIFICATE.server_id + 1))
    host_identity(starts.folder, certificate=store).choose_name(REPORT)

    assert (without_a_state, of_another_machine, store.current) == (None, None, None)


def test_a_deregistered_host_presents_no_certificate(starts: Starts) -> None:
    starts.start()
    store = CertificateStore(FakeCertificateFolder(CERTIFICATE))
    identity = host_identity(starts.folder, certificate=store)
    identity.choose_name(REPORT)
    identity.forget()

    assert store.current is None
