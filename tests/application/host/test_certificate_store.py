import errno
import logging

import pytest

from application.host.certificate_store import CertificateStore
from application.ports.host.certificate_folder import HostCertificate
from tests.support.canary_secrets import canary
from tests.support.fakes import FakeCertificateFolder

CERTIFICATE = HostCertificate(42, "certificate", canary("private key"), 50052)


@pytest.mark.parametrize(("server_id", "used"), [(42, True), (43, False), (None, False)])
def test_only_the_stored_certificate_of_the_same_server_is_used(
    server_id: int | None, used: bool
) -> None:
    store = CertificateStore(FakeCertificateFolder(CERTIFICATE))

    store.load(server_id)

    assert store.current == (CERTIFICATE if used else None)


def test_without_a_folder_a_certificate_is_used_until_it_is_cleared() -> None:
    store = CertificateStore()
    store.load(42)
    store.save(CERTIFICATE)
    saved = store.current

    store.clear()

    assert (saved, store.current) == (CERTIFICATE, None)


def test_a_certificate_that_cannot_be_stored_is_still_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    folder = FakeCertificateFolder(
        CERTIFICATE, error=OSError(errno.ENOSPC, "No space left on device")
    )
    store = CertificateStore(folder)
    store.load(CERTIFICATE.server_id)
    store.save(CERTIFICATE)
    used = store.current
    store.save(CERTIFICATE)
    folder.error = None
    store.save(CERTIFICATE)

    assert used == CERTIFICATE
    assert caplog.messages == [
        (
            "This host's certificate cannot be stored in STATE_DIR (No space left on device):"
            " fix the directory or its permissions. The next start requests another one."
        ),
        "This host's certificate can be stored in STATE_DIR again.",
    ]
    assert "private" not in repr((store, CERTIFICATE))
