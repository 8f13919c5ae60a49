"""How the API reads the files of its certificate."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from adapters.grpc.server.server_certificate import CertificateUnusable, ServerCertificate
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles

A_DAY = timedelta(days=1)


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    files = CertificateFiles(tmp_path)
    files.issue("api.example.com")
    return files


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def opened(files: CertificateFiles, clock: FakeClock | None = None) -> ServerCertificate:
    return ServerCertificate(files.certificate, files.key, clock or FakeClock())


def problem(files: CertificateFiles) -> str:
    with pytest.raises(CertificateUnusable) as caught:
        opened(files)
    return str(caught.value)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


# At the start


def test_the_names_the_issuer_and_the_end_of_a_certificate_are_read(
    files: CertificateFiles,
) -> None:
    files.issue("api.example.com", "*.example.org", "10.0.0.1", "::1", ends=A_DAY)
    facts = opened(files).current.facts

    assert set(facts.names) == {"api.example.com", "*.example.org", "10.0.0.1", "::1"}
    assert timedelta(hours=23) < facts.expires - datetime.now(UTC) <= A_DAY
    assert facts.issuer.startswith("Testing CA")


def test_a_certificate_with_an_intermediate_ca_is_accepted(files: CertificateFiles) -> None:
    files.issue("api.example.com", by=files.ca.create_child_ca())

    assert opened(files).current.chain.count(b"BEGIN CERTIFICATE") == 2


def test_one_file_may_hold_the_certificate_and_the_key(files: CertificateFiles) -> None:
    both = files.key.read_bytes() + files.certificate.read_bytes()
    files.key.write_bytes(both)
    files.certificate.write_bytes(both)

    assert opened(files).current.facts.names == ["api.example.com"]


def test_a_file_that_cannot_be_read_is_named_in_the_error(files: CertificateFiles) -> None:
    key = files.key.read_bytes()
    files.key.unlink()
    missing = problem(files)
    files.key.write_bytes(key)
    files.certificate.unlink()
    files.certificate.mkdir()

    fix = "check the file and its permissions."
    assert missing == (
        f"TLS_KEY_PATH {files.key} cannot be read (No such file or directory): {fix}"
    )
    assert problem(files) == (
        f"TLS_CERT_PATH {files.certificate} cannot be read (Is a directory): {fix}"
    )


BROKEN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\0", BROKEN])
def test_the_error_names_a_file_without_a_certificate(
    files: CertificateFiles, content: bytes
) -> None:
    files.certificate.write_bytes(content)

    assert problem(files) == (
        f"TLS_CERT_PATH {files.certificate} holds no PEM certificate: set it to the file with the"
        " API's certificate, followed by those of the intermediate CAs."
    )


def test_a_certificate_that_is_not_pem_is_refused(files: CertificateFiles) -> None:
    pem = files.ca.cert_pem.bytes().decode()
    files.certificate.write_bytes(ssl.PEM_cert_to_DER_cert(pem))

    assert "holds no PEM certificate" in problem(files)


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\0", BROKEN])
def test_the_error_names_a_file_without_a_key(files: CertificateFiles, content: bytes) -> None:
    files.key.write_bytes(content)

    assert problem(files) == (
        f"TLS_KEY_PATH {files.key} holds no PEM private key: set it to the file with the"
        " certificate's key."
    )


@pytest.mark.parametrize("damaged", ["certificate", "key"])
def test_the_error_names_the_damaged_files(files: CertificateFiles, damaged: str) -> None:
    if damaged == "certificate":
        files.certificate.write_bytes(files.certificate.read_bytes() + BROKEN)
    else:
        files.key.write_bytes(files.key.read_bytes().replace(b"\nM", b"\nA", 1))

    assert problem(files) == (
        f"TLS_CERT_PATH {files.certificate} or TLS_KEY_PATH {files.key} is damaged: write both"
        " files again."
    )


def test_the_key_of_another_certificate_is_refused(files: CertificateFiles) -> None:
    files.key.write_bytes(files.ca.issue_cert("other").private_key_pem.bytes())

    assert problem(files) == (
        f"TLS_KEY_PATH {files.key} is not the key of the certificate in TLS_CERT_PATH"
        f" {files.certificate}: set both to files that belong together."
    )


def test_an_encrypted_key_is_refused_without_asking_for_the_password(
    files: CertificateFiles,
) -> None:
    key = load_pem_private_key(files.ca.issue_cert("a").private_key_pem.bytes(), None)
    password = BestAvailableEncryption(canary("password").encode())
    files.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, password)
    )

    assert problem(files) == (
        f"TLS_KEY_PATH {files.key} is encrypted: store the key in it without a password."
    )


def test_the_error_for_an_expired_certificate_includes_the_time_of_this_machine(
    files: CertificateFiles,
) -> None:
    files.issue("api.example.com", begins=-2 * A_DAY, ends=-A_DAY)
    now = datetime.now(UTC)
    text = problem(files)

    assert text.startswith(
        f"TLS_CERT_PATH {files.certificate} holds a certificate that expired on"
        f" {now - A_DAY:%Y-%m-%d} "
    )
    assert f"and this machine's clock says {now:%Y-%m-%d}" in text
    assert text.endswith(": renew it, or correct the clock.")


def test_a_cas_own_certificate_is_unsuitable_for_a_server(files: CertificateFiles) -> None:
    files.certificate.write_bytes(files.ca.cert_pem.bytes())
    files.key.write_bytes(files.ca.private_key_pem.bytes())

    assert "that is unsuitable for a server" in problem(files) or "without a name" in problem(files)


def test_the_private_key_is_not_in_the_representation(files: CertificateFiles) -> None:
    certificate = opened(files)

    assert "PRIVATE" not in repr(certificate) + repr(certificate.current)
    assert canary("private key") not in repr(certificate)


# While the API runs


def test_a_replaced_certificate_is_used_and_logged_with_its_end(
    files: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    certificate = opened(files)
    files.issue("new.example.com")
    certificate.reload()
    certificate.reload()

    assert certificate.current.facts.names == ["new.example.com"]
    ends = f"{certificate.current.facts.expires:%Y-%m-%d %H:%M} UTC"
    assert caplog.messages == [
        f"TLS_CERT_PATH has changed: the certificate in use is for new.example.com, until {ends}."
    ]


def test_unusable_files_keep_the_previous_certificate_and_are_logged_once_per_change(
    files: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    certificate = opened(files)
    before = certificate.current
    old = files.certificate.read_bytes(), files.key.read_bytes()
    files.key.unlink()
    certificate.reload()
    certificate.reload()
    files.key.write_bytes(b"text")
    certificate.reload()
    certificate.reload()

    assert certificate.current is before
    assert [message.endswith("is in use.") for message in caplog.messages] == [True, True]
    files.certificate.write_bytes(old[0])
    files.key.write_bytes(old[1])
    certificate.reload()
    assert caplog.messages[2:] == ["TLS_CERT_PATH and TLS_KEY_PATH can be used again."]
    files.key.unlink()
    certificate.reload()
    assert len(caplog.messages) == 4


def test_a_certificate_that_is_not_valid_now_does_not_replace_the_current_one(
    files: CertificateFiles, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = opened(files, clock)
    before = certificate.current
    files.issue("api.example.com", begins=-2 * A_DAY, ends=-A_DAY)
    certificate.reload()
    clock.time += timedelta(minutes=3)
    certificate.reload()
    files.issue("tomorrow.example.com", begins=A_DAY)
    certificate.reload()
    clock.time += timedelta(minutes=3)
    certificate.reload()

    assert certificate.current is before
    assert ["that expired on" in warning for warning in warnings_in(caplog)] == [True, False]
    clock.time += 2 * A_DAY
    certificate.reload()
    assert certificate.current.facts.names == ["tomorrow.example.com"]


def test_the_end_of_the_certificate_is_logged_daily_from_two_weeks_before(
    files: CertificateFiles, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    files.issue("api.example.com", ends=16 * A_DAY)
    certificate = opened(files, clock)
    ends = f"{certificate.current.facts.expires:%Y-%m-%d %H:%M} UTC"
    counts = []
    for _ in range(5):
        for _ in range(24):
            certificate.reload()
            clock.time += timedelta(hours=1)
        counts.append(len(caplog.records))
    clock.time += 30 * A_DAY
    certificate.reload()

    assert counts == [0, 0, 1, 2, 3]
    assert caplog.messages[0] == (
        f"The certificate in use expires on {ends}: replace the files at TLS_CERT_PATH and"
        " TLS_KEY_PATH. The API uses the new ones without a restart."
    )
    assert f"expired on {ends}, and this machine's clock says" in caplog.messages[-1]


def test_the_api_starts_with_a_certificate_that_is_not_valid_yet_and_warns(
    files: CertificateFiles, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    files.issue("api.example.com", begins=A_DAY)
    opened(files, clock).reload()

    assert [" is not valid before " in warning for warning in warnings_in(caplog)] == [True]


def test_a_certificate_from_another_ca_is_used_too(files: CertificateFiles) -> None:
    certificate = opened(files)
    files.issue("new.example.com", by=trustme.CA())
    certificate.reload()

    assert certificate.current.facts.names == ["new.example.com"]
