"""How a host gets, presents and renews the certificate of its server, over real TLS."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.tls.certificate import validity_of
from adapters.grpc.tls.trust import Tls
from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.x509.authority import X509Authority
from application.host.key_ring import KeyRing
from application.ports.host.certificate_folder import HostCertificate
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from domain.enforcement import ENFORCE_ALL
from domain.errors import CredentialRequired
from domain.spiffe import server_common_name, server_spiffe_id
from tests.support.certificates import CertificateFiles, mutual_tls_server
from tests.support.certified_api import (
    KEY,
    LIFETIME,
    CertifiedApi,
    Host,
    NewKeyPairs,
    certified_api,
)
from tests.support.fake_servers import silent_port
from tests.support.services.ports import free_port

HALF, MINUTE = LIFETIME / 2, 60.0

NewHost = Callable[..., Host]


@pytest.fixture(autouse=True)
def _all_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def api(files: CertificateFiles) -> Iterator[CertifiedApi]:
    """An API that requires the server's certificate for heartbeats."""
    with certified_api(files) as api:
        yield api


@pytest.fixture
def api_for_all(files: CertificateFiles) -> Iterator[CertifiedApi]:
    with certified_api(files, ENFORCE_ALL) as api:
        yield api


@pytest.fixture
def new_host(files: CertificateFiles) -> Iterator[NewHost]:
    with ExitStack() as stack:

        def new(api: CertifiedApi, **options: Any) -> Host:
            host = Host(api.address, Tls(files.ca_file), **options)
            stack.callback(host.close)
            return host

        yield new


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# Use


def test_a_host_that_joins_uses_its_certificate_from_then_on(
    api: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host = new_host(api)
    host.joins()

    host.beats()

    (pair,) = host.key_pairs.made
    assert host.held.current == HostCertificate(
        host.server_id, host.certificate, pair.key, api.mutual_tls_port
    )
    assert not warnings(caplog)
    assert "PRIVATE KEY" not in f"{caplog.text} {host!r} {host.control_plane!r} {host.held!r}"


def test_a_host_cannot_use_its_certificate_for_another_server(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host, other = new_host(api), new_host(api)
    host.joins("web")
    other.joins("db")

    host.server_id = other.server_id
    with pytest.raises(ControlPlaneUnavailable):
        host.beats()


def test_without_tls_a_host_generates_no_key_and_requests_no_certificate(
    files: CertificateFiles, api: CertifiedApi
) -> None:
    control_plane = GrpcControlPlane(api.address, KeyRing.single(KEY), tls=Tls(files.ca_file))
    server_id = control_plane.register(RegistrationRequest(name="web")).server_id

    with pytest.raises(ControlPlaneUnavailable, match="that needs TLS: set API_ADDRESS to https"):
        control_plane.heartbeat(server_id, None)
    control_plane.close()


# Renewal


def test_a_certificate_is_renewed_at_half_of_its_life_without_a_missed_heartbeat(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api)
    host.joins()
    seen = []

    for _ in range(40):
        host.clock.seconds += LIFETIME / 10
        host.beats()
        seen.append(host.certificate)

    # Every heartbeat was answered, and the API accepts none without a certificate.
    assert len(set(seen)) == 9
    assert host.key_pairs.asked == 9
    assert len({pair.key for pair in host.key_pairs.made}) == 9


def test_a_certificate_is_not_renewed_before_half_of_its_life(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api)
    host.joins()
    first = host.certificate
    host.clock.seconds += HALF - 1
    host.beats()
    before = host.certificate
    host.clock.seconds += 2
    host.beats()

    assert before == first
    assert host.certificate != first


def test_a_failing_renewal_is_logged_once_and_retried_at_growing_intervals(
    api: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = new_host(api)
    host.joins()
    first = host.certificate
    host.key_pairs.broken = True
    host.clock.seconds += HALF + 1
    for _ in range(80):
        host.beats()
        host.clock.seconds += 15
    tried = host.key_pairs.asked - 1

    assert 5 <= tried <= 9
    assert host.certificate == first
    assert warnings(caplog) == [
        (
            "This host could not get a new certificate: no key can be generated, the process that"
            " makes it failed. It tries again with later heartbeats."
        )
    ]

    host.key_pairs.broken = False
    host.clock.seconds += 600
    host.beats()

    assert host.certificate != first
    assert "This host has a new certificate." in caplog.text


def test_a_lost_answer_to_a_renewal_does_no_harm(
    files: CertificateFiles, new_host: NewHost
) -> None:
    with certified_api(files) as api:
        host = new_host(api)
        host.joins()
        first = host.certificate
        host.clock.seconds += HALF + 1
    with pytest.raises(ControlPlaneUnavailable):
        host.beats()
    host.clock.seconds += MINUTE
    with certified_api(files, instead_of=api):
        host.beats()

    # The unanswered request was sent again.
    assert host.certificate != first
    assert host.key_pairs.asked == 2


def test_a_host_without_a_key_pair_joins_without_a_certificate_and_gets_one_later(
    api: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = new_host(api, key_pairs=NewKeyPairs(broken=True))
    host.joins()
    with pytest.raises(ControlPlaneUnavailable) as caught:
        host.beats()
    host.key_pairs.broken = False
    host.clock.seconds += MINUTE
    host.beats()

    assert str(caught.value) == (
        f"The API at {api.address} (API_ADDRESS) requires a host certificate, and"
        " this host has none yet: earlier log lines say why."
    )
    assert host.certificate
    assert len(warnings(caplog)) == 1


def test_an_expired_ca_does_not_keep_a_host_out(
    files: CertificateFiles, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    too_late = datetime(3000, 1, 1, tzinfo=UTC)
    with certified_api(files, ENFORCE_ALL, issues_at=too_late) as api:
        host = new_host(api)
        host.joins()
        host.beats()

    assert not host.certificate
    of_the_api, of_the_host = warnings(caplog)
    assert of_the_api.startswith("no certificate was issued for server 1: the certificate in CA_")
    assert of_the_host.startswith("This host could not get a new certificate: ")
    assert "CA_CERT_PATH expired on" in of_the_host


# The mutual-TLS port


def test_a_host_that_cannot_reach_the_mutual_tls_port_uses_the_plain_one_and_returns(
    api_for_all: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    host = new_host(api_for_all, mutual_tls_address=nowhere)
    host.joins()
    for _ in range(10):
        host.beats()
    messages = warnings(caplog)
    host.enrolment.use.mutual_tls_address = ""
    host.beats()
    returned_at_once = "again" in caplog.messages[-1]
    host.clock.seconds += MINUTE + 1
    host.beats()

    assert messages == [
        (
            f"The API cannot be reached at {nowhere}, where this host presents its certificate,"
            " so it calls without one: open that port, or set API_MTLS_ADDRESS to the API's"
            " mutual-TLS address."
        )
    ]
    assert not returned_at_once
    assert caplog.messages[-1] == "The API accepts this host's certificate again."
    assert host.key_pairs.asked == 1


def test_where_certificates_are_required_each_call_tries_that_port_and_no_host_registers_again(
    api: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    host = new_host(api, mutual_tls_address=nowhere)
    host.joins()
    messages = set()
    for _ in range(3):
        with pytest.raises(ControlPlaneUnavailable) as caught:
            host.beats()
        messages.add(str(caught.value))
    for call in (
        lambda: host.control_plane.fetch_configuration(host.server_id, 0),
        lambda: host.control_plane.deregister(host.server_id, ""),
    ):
        with pytest.raises(ControlPlaneUnavailable) as caught:
            call()
        messages.add(str(caught.value))
    host.enrolment.use.mutual_tls_address = ""
    host.beats()

    assert messages == {
        (
            f"The API at {api.address} (API_ADDRESS) requires a host certificate, and"
            f" this host could not present its certificate at {nowhere}: open that port, or set"
            " API_MTLS_ADDRESS to the API's mutual-TLS address."
        )
    }
    assert not warnings(caplog)


def test_a_silent_mutual_tls_port_costs_one_call(
    api_for_all: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    with silent_port() as silent:
        host = new_host(api_for_all, mutual_tls_address=silent)
        host.joins()
        patient, host.control_plane.call_seconds = host.control_plane.call_seconds, 1
        with pytest.raises(ControlPlaneUnavailable):
            host.beats()
        host.control_plane.call_seconds = patient
        host.beats()

    assert [each.partition(",")[0] for each in warnings(caplog)] == [
        f"Nothing answers at {silent}",
    ]


def test_a_certificate_that_the_api_does_not_accept_is_replaced(
    api_for_all: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    host = new_host(api_for_all)
    host.joins()
    foreign = issued_by(trustme.CA(), host)
    host.held.save(foreign)
    host.beats()
    host.beats()

    assert host.certificate != foreign.certificate
    assert len(warnings(caplog)) == 1
    assert warnings(caplog)[0].startswith("The API does not accept this host's certificate at 127.")
    assert caplog.messages[-1] == "The API accepts this host's certificate again."


def test_an_unaccepted_certificate_is_replaced_also_where_certificates_are_required(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api)
    host.joins()
    host.held.save(issued_by(trustme.CA(), host))
    with pytest.raises(ControlPlaneUnavailable):
        host.beats()
    host.beats()

    assert host.key_pairs.asked == 2


def test_a_port_that_accepts_no_certificate_does_not_cause_a_renewal_with_each_call(
    api_for_all: CertifiedApi,
    files: CertificateFiles,
    new_host: NewHost,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    foreign = CertificateFiles(folder)
    foreign.issue()
    foreign.ca_file.write_bytes(trustme.CA().cert_pem.bytes())
    files.write(files.ca.issue_cert("127.0.0.1"))
    foreign.certificate.write_bytes(files.certificate.read_bytes())
    foreign.key.write_bytes(files.key.read_bytes())
    with mutual_tls_server(foreign) as elsewhere:
        host = new_host(api_for_all, mutual_tls_address=elsewhere)
        host.joins()
        for _ in range(120):
            host.beats()
            host.clock.seconds += 15

    # In half an hour.
    assert 2 <= host.key_pairs.asked <= 10
    assert len([each for each in warnings(caplog) if "does not accept" in each]) == 1


def issued_by(
    ca: trustme.CA, host: Host, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> HostCertificate:
    """A certificate for the same server, from a CA that the API does not know."""
    key: Any = load_pem_private_key(ca.private_key_pem.bytes(), None)
    own = x509.load_pem_x509_certificate(ca.cert_pem.bytes())
    pair, current = NewKeyPairs()(), host.held.current
    assert current
    certificate = X509Authority(own, key, [own], now).issue(
        pair.signing_request,
        server_spiffe_id("manmanv2", host.server_id),
        server_common_name(host.server_id, 1),
        timedelta(hours=1),
    )
    return replace(current, certificate=certificate, key=pair.key)


def test_a_host_uses_its_certificate_at_once_after_a_restart_of_the_api(
    files: CertificateFiles, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    with certified_api(files) as api:
        host = new_host(api)
        host.joins()
        host.beats()
    with pytest.raises(ControlPlaneUnavailable) as caught:
        host.beats()
    with certified_api(files, instead_of=api) as again:
        host.beats()
    # A restart that the host does not notice.
    with certified_api(files, instead_of=again):
        host.beats()

    assert "(API_ADDRESS) is not there" in str(caught.value)
    assert not warnings(caplog)


class ForgetfulRouter:
    """Relays connections to an address, until it forgets its current connections."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._known: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._accept)

    def forget(self) -> None:
        """The next bytes on such a connection close it."""
        self._known = set()

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                api = socket.create_connection(self._to)
                self._ends += [client, api]
                self._known.add(client)
                self._start(self._pass, client, api, client)
                self._start(self._pass, api, client, client)

    def _pass(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and client in self._known:
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_broke_silently_is_opened_again_without_a_missed_heartbeat(
    api: CertifiedApi, new_host: NewHost, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(ForgetfulRouter(f"127.0.0.1:{api.mutual_tls_port}")) as router:
        host = new_host(api, mutual_tls_address=router.address)
        host.joins()
        for _ in range(3):
            host.beats()
            router.forget()

    assert not warnings(caplog)
    assert host.key_pairs.asked == 1


def test_a_host_that_joined_before_there_was_a_ca_registers_once_for_a_certificate(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api)
    host.joins()
    # The answer of an API that issues no certificates.
    host.held.clear()
    host.enrolment.renewal.registered(host.server_id, "", 0)
    with pytest.raises(ControlPlaneUnavailable):
        host.beats()
    host.clock.seconds += MINUTE
    with pytest.raises(CredentialRequired):
        host.beats()
    host.joins()
    host.beats()

    assert host.certificate


# Restarts


def test_a_certificate_survives_a_restart_and_only_its_owner_can_read_it(
    api: CertifiedApi, new_host: NewHost, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    host = new_host(api, folder=folder)
    host.joins()
    again = new_host(api, folder=folder, kept_server_id=host.server_id, keys=KeyRing(lambda: ("",)))
    # Without a key and a credential.
    joined = again.joins()
    again.beats()

    assert joined.server_id == host.server_id
    assert again.held.current == host.held.current
    assert again.key_pairs.asked == 0
    assert (folder / "certificate.json").stat().st_mode & 0o777 == 0o600


def test_a_host_learns_a_changed_port_with_the_next_registration(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api)
    host.joins()
    assert host.held.current
    host.held.save(replace(host.held.current, mutual_tls_port=free_port()))
    host.joins()
    host.beats()

    assert host.held.current.mutual_tls_port == api.mutual_tls_port
    assert host.key_pairs.asked == 1


@pytest.mark.parametrize("kept_server_id", [None, 4711])
def test_a_certificate_of_another_server_than_the_state_s_is_not_presented(
    kept_server_id: int | None, api: CertifiedApi, new_host: NewHost, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    host = new_host(api, folder=folder)
    host.joins()

    again = new_host(api, folder=folder, kept_server_id=kept_server_id)

    assert again.held.current is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b'"server_id": 1', b'"server_id": 2'),
        lambda content: b"",
        lambda content: b"[]",
    ],
)
def test_a_damaged_file_is_logged_once_and_another_certificate_requested(
    damage: Callable[[bytes], bytes],
    api: CertifiedApi,
    new_host: NewHost,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    host = new_host(api, folder=folder)
    host.joins()
    file = folder / "certificate.json"
    file.write_bytes(damage(file.read_bytes()))
    again = new_host(api, folder=folder, kept_server_id=host.server_id)
    again.joins()
    again.beats()

    assert warnings(caplog) == [
        (
            f"{file} is damaged, or was written by a later version: this host starts without its"
            " certificate and requests another one."
        )
    ]
    assert DiskCertificateFolder(folder).read() == again.held.current
    assert again.certificate != host.certificate


def test_a_certificate_that_expired_meanwhile_is_replaced_at_the_registration(
    api: CertifiedApi,
    files: CertificateFiles,
    new_host: NewHost,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    host = new_host(api, folder=folder)
    host.joins()
    expired = issued_by(files.ca, host, now=lambda: datetime.now(UTC) - timedelta(days=1))
    host.held.save(expired)
    again = new_host(api, folder=folder, kept_server_id=host.server_id)
    again.joins()
    again.beats()

    assert again.certificate not in ("", expired.certificate)
    assert not warnings(caplog)


def test_a_folder_that_cannot_be_written_is_logged_and_ends_nothing(
    api: CertifiedApi, new_host: NewHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = new_host(api, folder=tmp_path / "missing")
    host.joins()
    host.beats()

    assert len([each for each in warnings(caplog) if "cannot be stored in STATE_DIR" in each]) == 1


# The contents of a certificate


def test_when_a_certificate_ends_is_read_without_a_handshake(files: CertificateFiles) -> None:
    begins, ends = timedelta(days=-3), timedelta(days=30 * 365)
    files.issue(begins=begins, ends=ends)

    valid_from, expires = validity_of(files.certificate.read_text())

    now = datetime.now(UTC)
    assert abs(valid_from - (now + begins)) < timedelta(minutes=1)
    assert abs(expires - (now + ends)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMIIBAgMEBQYHCAkK\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAYwBDACMAA=\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
    ],
)
def test_a_file_that_is_not_a_certificate_is_recognised(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        validity_of(text)
