"""The diagnosis of TLS problems, as hosts, operators and the doctor report it."""

import contextlib
import re
import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme

from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from adapters.grpc.tls.trust import Tls
from application.ports.host.control_plane import ControlPlaneUnavailable
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles, mutual_tls_server, tls_server, without_tls
from tests.support.certified import Site
from tests.support.fake_servers import port_that_hangs_up, silent_port
from tests.support.processes import free_address
from tests.support.tls_api import register_over_tls

KEY = canary("registration key")
A_DAY = timedelta(days=1)


def problem_of_a_host(address: str, tls: Tls | None) -> str:
    with pytest.raises(ControlPlaneUnavailable) as caught:
        register_over_tls(address, tls)
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


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    path = tmp_path / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return path


@every_client
def test_an_untrusted_ca_is_named(
    diagnose: Diagnose, files: CertificateFiles, other_ca: Path
) -> None:
    with tls_server(files) as address:
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
    with tls_server(files) as address:
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
    with tls_server(files) as address:
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
    with tls_server(files) as address:
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
    with tls_server(files) as address:
        text = diagnose(address, Tls(files.ca_file))

    assert text.startswith(f"has a certificate that is not valid before {now + A_DAY:%Y-%m-%d} ")
    assert f"and this machine's clock says {now:%Y-%m-%d}" in text
    assert text.endswith(": correct the clock, or wait")


@every_client
def test_a_missing_tls_setting_of_the_client_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles
) -> None:
    with tls_server(files) as address:
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
    with mutual_tls_server(files) as address:
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
def test_a_certificate_for_clients_only_is_diagnosed(
    diagnose: Diagnose, files: CertificateFiles, tmp_path: Path
) -> None:
    site = Site(tmp_path / "site")
    pair = site.gives()
    files.certificate.write_text(pair.certificate)
    files.key.write_text(pair.key)
    with tls_server(files) as address:
        assert diagnose(address, Tls(site.ca_file)) == (
            "has a certificate that is unsuitable for a server: have its CA issue a server"
            " certificate with a key and a signature of today's strength"
        )


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
