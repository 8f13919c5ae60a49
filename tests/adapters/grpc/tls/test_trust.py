from contextlib import closing
from pathlib import Path

import pytest
import trustme

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.client.operator_client import OperatorClient
from adapters.grpc.tls.trust import Tls
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneUnavailable, RegistrationRequest
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles
from tests.support.tls_api import api_over_tls, register_over_tls

KEY = canary("registration key")


def test_a_host_registers_over_tls_and_a_local_operator_needs_no_key(
    files: CertificateFiles,
) -> None:
    with api_over_tls(files) as (_, address):
        server_id = register_over_tls(address, Tls(files.ca_file))
        with closing(OperatorClient(address, None, Tls(files.ca_file))) as client:
            listed = [server.server_id for server in client.servers()]

    assert listed == [server_id]


def test_without_a_ca_file_the_cas_of_the_machine_are_trusted(
    files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL reads the CAs of the machine from this file.
    monkeypatch.setenv("SSL_CERT_FILE", str(files.ca_file))
    with api_over_tls(files) as (_, address):
        assert register_over_tls(address, Tls())


def test_the_name_to_verify_can_differ_from_the_address(
    files: CertificateFiles,
) -> None:
    files.issue("api.example.com")
    with api_over_tls(files) as (_, address):
        assert register_over_tls(address, Tls(files.ca_file, "api.example.com"))


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
        assert register_over_tls(address, Tls(files.ca_file))
        with pytest.raises(ControlPlaneUnavailable, match="not for other"):
            register_over_tls(address, Tls(files.ca_file, "other"))


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
