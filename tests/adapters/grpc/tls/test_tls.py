"""TLS between the API and its clients, and the diagnosis of failures."""

import contextlib
import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme

from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.health import NotServing, check_own_serving
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from adapters.grpc.tls.trust import Tls
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.testing import serving
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles, insisting, showing, without_tls
from tests.support.fake_servers import port_that_hangs_up, silent_port
from tests.support.processes import free_address

KEY = canary("registration key")
A_DAY = timedelta(days=1)


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    path = tmp_path / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@contextmanager
def api_over_tls(files: CertificateFiles) -> Iterator[tuple[ApiContainer, str]]:
    settings = ApiSettings.load(
        {**files.variables, "DATABASE_URL": IN_MEMORY, "LISTEN_ADDRESS": "127.0.0.1:0"}
    )
    container = ApiContainer(settings=settings)
    with serving(container) as port:
        yield container, f"127.0.0.1:{port}"
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def joins(address: str, tls: Tls | None) -> int:
    with closing(GrpcControlPlane(address, KeyRing.single(KEY), tls=tls)) as control_plane:
        return control_plane.register(RegistrationRequest(name="web")).server_id


# Hosts, operators and the doctor report the same problem.


def problem_of_a_host(address: str, tls: Tls | None) -> str:
    with pytest.raises(ControlPlaneUnavailable) as caught:
        joins(address, tls)
    return str(caught.value).removeprefix(f"The API at {address} (API_ADDRESS) ").rstrip(".")


def problem_of_an_operator(address: str, tls: Tls | None) -> str:
    with closing(OperatorClient(address, None, tls)) as client:
        with pytest.raises(OperatorCallFailed) as caught:
            list(client.servers())
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    return str(caught.value).removeprefix(f"the API at {address} ")


def problem_of_the_doctor(address: str, tls: Tls | None) -> str:
    with pytest.raises(ControlPlaneUnavailable) as caught:
        GrpcApiProbe(address, tls, call_seconds=2, step_seconds=1).try_key(KEY)
    return str(caught.value).removeprefix(f"The API at {address} (API_ADDRESS) ").rstrip(".")


Diagnose = Callable[[str, Tls | None], str]
every_client = pytest.mark.parametrize(
    "diagnose", [problem_of_a_host, problem_of_an_operator, problem_of_the_doctor]
)


def test_a_host_registers_over_tls_and_a_local_operator_needs_no_key(
    files: CertificateFiles,
) -> None:
    with api_over_tls(files) as (_, address):
        server_id = joins(address, Tls(files.ca_file))
        with closing(OperatorClient(address, None, Tls(files.ca_file))) as client:
            listed = [server.server_id for server in client.servers()]

    assert listed == [server_id]


def test_without_a_ca_file_the_cas_of_the_machine_are_trusted(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL reads the CAs of the machine from this file.
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca_file))
    with api_over_tls(files) as (_, address):
        assert joins(address, Tls())


def test_the_name_to_verify_can_differ_from_the_address(
    files: CertificateFiles,
) -> None:
    files.issue("api.example.com")
    with api_over_tls(files) as (_, address):
        assert joins(address, Tls(files.ca_file, "api.example.com"))


@pytest.mark.parametrize(
    ("version", "is_accepted"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
def test_only_tls_1_2_and_later_is_accepted(
    files: CertificateFiles, version: ssl.TLSVersion, is_accepted: bool
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.ca_file)
    context.set_alpn_protocols(["h2"])
    # Without this the client itself refuses the old versions.
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    accepted = False
    with (
        api_over_tls(files) as (_, address),
        socket.create_connection(("127.0.0.1", int(address.split(":")[1]))) as connection,
        contextlib.suppress(ssl.SSLError),
        context.wrap_socket(connection, server_hostname="127.0.0.1"),
    ):
        accepted = True

    assert accepted is is_accepted


# Diagnosis


@every_client
def test_an_untrusted_ca_is_named(
    diagnose: Diagnose, files: CertificateFiles, other_ca: Path
) -> None:
    with showing(files) as address:
        by_the_file = diagnose(address, Tls(other_ca))
        by_the_machine = diagnose(address, Tls())

    head, fix = (
        r"has a certificate from a CA \(Testing CA #\S+\) that ",
        "to the file of that CA's",
    )
    assert re.match(f"{head}is not in API_CA_CERT_PATH: set API_CA_CERT_PATH {fix}", by_the_file)
    assert re.match(
        f"{head}this machine does not trust: set API_CA_CERT_PATH {fix}", by_the_machine
    )


@every_client
def test_a_self_signed_certificate_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    files.certificate.write_bytes(files.ca.cert_pem.bytes())
    files.key.write_bytes(files.ca.private_key_pem.bytes())
    with showing(files) as address:
        assert diagnose(address, Tls()) == (
            "has a self-signed certificate that this machine does not trust: set API_CA_CERT_PATH"
            " to a file with that certificate"
        )


@every_client
def test_a_certificate_for_other_names_is_diagnosed_with_these_names(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    files.issue("api.example.com", "10.0.0.1", "*.example.org")
    fix = "use one of its names in API_ADDRESS, or set API_TLS_SERVER_NAME to one of them"
    with showing(files) as address:
        for name, looked_for in (("", "127.0.0.1"), ("api.example.net", "api.example.net")):
            text = diagnose(address, Tls(files.ca_file, name))

            head, _, fix_in_text = text.partition(": ")
            names = head.removeprefix("has a certificate for ").removesuffix(
                f", not for {looked_for}"
            )

            assert set(names.split(", ")) == {"api.example.com", "10.0.0.1", "*.example.org"}
            assert fix_in_text == fix


@every_client
def test_an_expired_certificate_is_diagnosed_with_its_end_and_the_time_of_this_machine(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    files.issue(begins=-3 * A_DAY, ends=-A_DAY)
    now = datetime.now(UTC)
    with showing(files) as address:
        text = diagnose(address, Tls(files.ca_file))

    assert text.startswith(f"has a certificate that expired on {now - A_DAY:%Y-%m-%d} ")
    assert f"and this machine's clock says {now:%Y-%m-%d}" in text
    assert text.endswith(": renew the certificate, or correct the clock")


@every_client
def test_a_certificate_that_is_not_valid_yet_is_diagnosed_with_the_time_of_this_machine(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    files.issue(begins=A_DAY)
    now = datetime.now(UTC)
    with showing(files) as address:
        text = diagnose(address, Tls(files.ca_file))

    assert text.startswith(f"has a certificate that is not valid before {now + A_DAY:%Y-%m-%d} ")
    assert f"and this machine's clock says {now:%Y-%m-%d}" in text
    assert text.endswith(": correct the clock, or wait")


@every_client
def test_a_missing_tls_setting_of_the_client_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    with showing(files) as address:
        assert diagnose(address, None) == (
            f"requires TLS: set API_ADDRESS to https://{address}, or API_USE_TLS=true"
        )


@every_client
def test_a_port_without_tls_is_diagnosed(diagnose: Diagnose, files: CertificateFiles) -> None:
    fix = (
        "set API_ADDRESS to the port on which the API uses TLS, or if the API has no TLS, to"
        " http://{} without API_USE_TLS"
    )
    with without_tls() as address:
        plain = diagnose(address, Tls(files.ca_file)), fix.format(address)
    with port_that_hangs_up() as address:
        closed = diagnose(address, Tls(files.ca_file)), fix.format(address)

    assert plain[0] == f"does not use TLS: {plain[1]}"
    assert closed[0] == f"closes the connection during the TLS handshake: {closed[1]}"


@every_client
def test_a_port_that_requires_a_client_certificate_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    with insisting(files) as address:
        text = diagnose(address, Tls(files.ca_file))
    with tls_port(files, ["h2"], ssl.TLSVersion.TLSv1_2, requires_certificate=True) as address:
        problem_from_alert = diagnose(address, Tls(files.ca_file))

    fix = (
        "if this port requires a client certificate, set API_ADDRESS to the API's other port, or"
        " for `manmanv2` set API_CLIENT_CERT_PATH to an operator's certificate; otherwise see the"
        " API's log"
    )
    assert text == f"closes the connection after the TLS handshake: {fix}"
    assert problem_from_alert == f"refuses the TLS handshake: {fix}"


@every_client
def test_a_web_server_is_diagnosed(diagnose: Diagnose, files: CertificateFiles) -> None:
    with tls_port(files, ["http/1.1"]) as address:
        assert diagnose(address, Tls(files.ca_file)).startswith(
            "uses TLS, but does not offer HTTP/2: "
        )


@every_client
def test_a_server_with_an_old_tls_version_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    with tls_port(files, ["h2"], ssl.TLSVersion.TLSv1_1) as address:
        assert diagnose(address, Tls(files.ca_file)) == (
            "uses a TLS version that is too old: enable TLS 1.2 or 1.3 there"
        )


@pytest.mark.parametrize("diagnose", [problem_of_a_host, problem_of_the_doctor])
def test_a_port_without_a_listener_or_an_answer_is_not_diagnosed_as_a_tls_problem(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    nobody = diagnose(free_address(), Tls(files.ca_file))
    with silent_port() as address:
        silent = diagnose(address, Tls(files.ca_file))

    assert nobody.startswith("is not there: nothing listens on that port")
    assert "does not answer in time" in silent or "sends nothing: it hangs" in silent


@contextmanager
def tls_port(
    files: CertificateFiles,
    protocols: Sequence[str],
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    *,
    requires_certificate: bool = False,
) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    if requires_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(protocols)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest

    def serve(listener: socket.socket) -> None:
        # Ends when the listener is closed.
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with (
                    contextlib.suppress(OSError),
                    context.wrap_socket(connection, server_side=True) as tls_socket,
                ):
                    tls_socket.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


# The CA file


def test_an_unusable_ca_file_is_reported_until_it_is_usable(
    files: CertificateFiles, tmp_path: Path
) -> None:
    ca_file = tmp_path / "there-soon.pem"
    with (
        api_over_tls(files) as (_, address),
        closing(GrpcControlPlane(address, KeyRing.single(KEY), tls=Tls(ca_file))) as control_plane,
    ):
        unusable = [
            (None, "cannot be read"),
            # For a moment, while another file is copied over it.
            (b"", "holds no PEM certificate"),
            (b"no", "holds no PEM certificate"),
            (b"\xff\xfe", "holds no PEM certificate"),
        ]
        for content, why in unusable:
            if content is not None:
                ca_file.write_bytes(content)
            with pytest.raises(ControlPlaneUnavailable) as caught:
                control_plane.register(RegistrationRequest(name="web"))
            assert str(caught.value) == (
                f"API_CA_CERT_PATH {ca_file} {why}: set it to the file of the CA that issues the"
                " API's certificate."
            )
        ca_file.write_bytes(files.ca_file.read_bytes())
        assert control_plane.register(RegistrationRequest(name="web")).server_id
        # An unusable file does not affect a connection that works.
        ca_file.write_bytes(b"")
        assert control_plane.register(RegistrationRequest(name="web")).server_id
        ca_file.unlink()
        assert control_plane.register(RegistrationRequest(name="web")).server_id


def test_comments_in_pem_files_are_ignored(files: CertificateFiles) -> None:
    for file in (files.ca_file, files.certificate, files.key):
        file.write_bytes("# für die API\n".encode() + file.read_bytes())
    with api_over_tls(files) as (_, address):
        assert joins(address, Tls(files.ca_file))
        assert problem_of_a_host(address, Tls(files.ca_file, "other")).startswith(
            "has a certificate"
        )


def test_a_host_reads_the_ca_file_again_when_it_changes(files: CertificateFiles) -> None:
    with (
        api_over_tls(files) as (_, address),
        closing(
            GrpcControlPlane(address, KeyRing.single(KEY), tls=Tls(files.ca_file))
        ) as control_plane,
    ):
        control_plane.register(RegistrationRequest(name="web"))
        trustme.CA().cert_pem.write_to_path(str(files.ca_file))
        with pytest.raises(ControlPlaneUnavailable, match="that is not in API_CA_CERT_PATH"):
            control_plane.heartbeat(1, None)
        files.ca.cert_pem.write_to_path(str(files.ca_file))

        control_plane.heartbeat(1, None)


# Replacing the certificate


def shown_at(address: str) -> str:
    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port))).strip()


def own_of(files: CertificateFiles) -> str:
    text = files.certificate.read_text()
    return text[: text.index("-----END CERTIFICATE-----")] + "-----END CERTIFICATE-----"


def test_replacing_the_certificate_fails_no_call_and_new_connections_get_it(
    files: CertificateFiles,
) -> None:
    failures: list[Exception] = []
    counts = [0, 0]
    done = threading.Event()

    def on_one_connection(address: str) -> None:
        with closing(
            GrpcControlPlane(address, KeyRing.single(KEY), tls=Tls(files.ca_file))
        ) as control_plane:
            while not done.is_set():
                try:
                    control_plane.heartbeat(1, None)
                    counts[0] += 1
                except Exception as error:
                    failures.append(error)
                    raise

    def on_new_ones(address: str) -> None:
        while not done.is_set():
            try:
                joins(address, Tls(files.ca_file))
                counts[1] += 1
            except Exception as error:
                failures.append(error)
                raise

    with api_over_tls(files) as (container, address):
        joins(address, Tls(files.ca_file))
        threads = [
            threading.Thread(target=calls, args=(address,))
            for calls in (on_one_connection, on_new_ones, on_new_ones)
        ]
        for thread in threads:
            thread.start()
        presented = []
        certificate = container.certificate()
        assert certificate
        for _ in range(5):
            files.issue()
            certificate.reload()
            presented.append((shown_at(address), own_of(files)))
            time.sleep(0.2)
        done.set()
        for thread in threads:
            thread.join()

    assert not failures
    assert min(counts) > 5
    assert all(certificate == written for certificate, written in presented)
    assert len({certificate for certificate, _ in presented}) == 5


def test_a_certificate_with_the_wrong_key_does_not_replace_the_current_one(
    files: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with api_over_tls(files) as (container, address):
        before = own_of(files)
        certificate = container.certificate()
        assert certificate
        key = files.key.read_bytes()
        files.issue("127.0.0.1", "localhost")
        new_key = files.key.read_bytes()
        files.key.write_bytes(key)
        certificate.reload()
        certificate.reload()
        meanwhile = shown_at(address)
        files.key.write_bytes(new_key)
        certificate.reload()
        afterwards = shown_at(address)

    assert (meanwhile, afterwards) == (before, own_of(files))
    messages = [record.getMessage() for record in caplog.records]

    assert [message for message in messages if "TLS_" in message] == [
        (
            f"TLS_KEY_PATH {files.key} is not the key of the certificate in TLS_CERT_PATH"
            f" {files.certificate}: set both to files that belong together. Until then the"
            " previous certificate is in use."
        ),
        f"TLS_CERT_PATH has changed: the certificate in use is {certificate.summary()}.",
        "TLS_CERT_PATH and TLS_KEY_PATH can be used again.",
    ]


def test_the_end_of_the_certificate_in_use_is_measured(files: CertificateFiles) -> None:
    measured = []
    with api_over_tls(files) as (container, _):
        certificate = container.certificate()
        assert certificate
        for days in (30, 60):
            files.issue(ends=days * A_DAY)
            certificate.reload()
            found = container.registry().get_sample_value(
                "manmanv2_tls_certificate_expires_timestamp_seconds"
            )
            measured.append((found, certificate.current.facts.expires.timestamp()))

    assert all(found == expires for found, expires in measured)
    assert measured[1][0] != measured[0][0]


# The health check of the API itself


@pytest.mark.parametrize("names", [["127.0.0.1"], ["api.example.com"], ["*.example.com"]])
def test_an_api_can_check_its_own_health_whatever_names_its_certificate_has(
    files: CertificateFiles, names: Sequence[str]
) -> None:
    files.issue(*names)
    with api_over_tls(files) as (_, address):
        check_own_serving(address, over_tls=True)


def test_an_api_whose_tls_differs_from_the_settings_is_unhealthy(
    files: CertificateFiles,
) -> None:
    with api_over_tls(files) as (_, address), pytest.raises(NotServing) as tls_there:
        check_own_serving(address, over_tls=False)
    with without_tls() as address, pytest.raises(NotServing) as none_there:
        check_own_serving(address, over_tls=True)

    fix = "check TLS_CERT_PATH and TLS_KEY_PATH, here and where the API was started"
    assert str(tls_there.value) == f"requires TLS: {fix}"
    assert str(none_there.value) == f"does not use TLS: {fix}"
