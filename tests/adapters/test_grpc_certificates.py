"""What a host may do with the certificate of its server, over real TLS."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from adapters.x509.authority import read_authority
from domain.errors import CertificateOfAnother
from domain.spiffe import server_spiffe_id
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.certificates import CertificateFiles
from tests.planted import planted
from tests.real_parts.ports import free_port

KEY = planted("registration key")


@dataclass
class Requester:
    """A key pair, and what is asked for with it: more than anybody is to get."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def signing_request(self) -> bytes:
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.example.com")]))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.UniformResourceIdentifier("spiffe://manmanv2/server/1")]
                ),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    @property
    def pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Api:
    files: CertificateFiles
    port: int
    mutual_tls_port: int

    def client(self, requester: Requester | None = None, certificate: str = "") -> ManManAPIStub:
        """Of who shows the certificate, at the port for that, or of who shows none."""
        root = self.files.ca_file.read_bytes()
        if not requester:
            credentials = grpc.ssl_channel_credentials(root)
            return ManManAPIStub(grpc.secure_channel(f"127.0.0.1:{self.port}", credentials))
        credentials = grpc.ssl_channel_credentials(root, requester.pem, certificate.encode())
        address = f"127.0.0.1:{self.mutual_tls_port}"
        return ManManAPIStub(grpc.secure_channel(address, credentials))

    def join(self, name: str, requester: Requester) -> pb.RegisterServerResponse:
        request = pb.RegisterServerRequest(
            name=name, registration_key=KEY, signing_request=requester.signing_request
        )
        return self.client().RegisterServer(request)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    files = CertificateFiles(tmp_path)
    files.issue()
    ca_key = tmp_path / "ca.key"
    ca_key.write_bytes(files.ca.private_key_pem.bytes())
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY),
            listen_address="127.0.0.1:0",
            registration_key=Secret(KEY),
            tls_cert_path=files.certificate,
            tls_key_path=files.key,
            ca_cert_path=files.ca_file,
            ca_key_path=ca_key,
            mtls_listen_address=f"127.0.0.1:{free_port()}",
        )
    )
    with serving(container) as port:
        yield Api(files, port, container.settings().mutual_tls_port)
    container.host_calls().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


def test_a_certificate_says_which_server_it_is_for_and_nothing_of_what_was_asked(api: Api) -> None:
    requester = Requester()
    api.join("web", Requester())

    joined = api.join("db", requester)

    certificate = x509.load_pem_x509_certificate(joined.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [f"spiffe://manmanv2/server/{joined.server_id}"]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == requester.key.public_key()
    assert "api.example.com" not in certificate.subject.rfc4514_string()
    assert joined.mutual_tls_port == api.mutual_tls_port


def test_a_certificate_speaks_for_its_server_and_for_no_other_whatever_else_is_shown(
    api: Api,
) -> None:
    requester = Requester()
    web, db = api.join("web", requester), api.join("db", Requester())
    client = api.client(requester, web.certificate)

    heard = client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id))
    for call, request in (
        (client.Heartbeat, pb.HeartbeatRequest(server_id=db.server_id, credential=db.credential)),
        (
            client.FetchConfiguration,
            pb.FetchConfigurationRequest(server_id=db.server_id, registration_key=KEY),
        ),
        (client.Deregister, pb.DeregisterRequest(server_id=db.server_id, registration_key=KEY)),
        (
            client.RenewCertificate,
            pb.RenewCertificateRequest(
                server_id=db.server_id,
                credential=db.credential,
                signing_request=requester.signing_request,
            ),
        ),
    ):
        code, told = refusal(lambda call=call, request=request: call(request))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert told == str(CertificateOfAnother(web.server_id, db.server_id))

    assert heard.acknowledged


def test_another_is_answered_for_the_certificate_or_the_credential_alone(api: Api) -> None:
    requester, next_one = Requester(), Requester()
    web = api.join("web", requester)
    request = pb.RenewCertificateRequest(
        server_id=web.server_id, signing_request=next_one.signing_request
    )

    by_certificate = api.client(requester, web.certificate).RenewCertificate(request)
    by_neither = refusal(lambda: api.client().RenewCertificate(request))
    request.credential = web.credential
    by_credential = api.client().RenewCertificate(request)

    assert by_neither[0] is grpc.StatusCode.UNAUTHENTICATED
    for renewed in (by_certificate, by_credential):
        client = api.client(next_one, renewed.certificate)
        assert client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id)).acknowledged


def test_a_ban_is_in_force_at_the_next_call(api: Api) -> None:
    requester = Requester()
    web = api.join("web", requester)
    client = api.client(requester, web.certificate)
    assert client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id)).acknowledged

    api.client().BanServer(pb.BanServerRequest(server_id=web.server_id))

    code, _ = refusal(lambda: client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id)))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    request = pb.RenewCertificateRequest(
        server_id=web.server_id, signing_request=requester.signing_request
    )
    code, _ = refusal(lambda: client.RenewCertificate(request))
    assert code is grpc.StatusCode.PERMISSION_DENIED


def test_a_later_registration_ends_a_certificate_unless_its_credential_is_shown_too(
    api: Api,
) -> None:
    requester = Requester()
    before = api.join("web", requester)
    client = api.client(requester, before.certificate)
    heartbeat = pb.HeartbeatRequest(server_id=before.server_id)
    renewal = pb.RenewCertificateRequest(
        server_id=before.server_id, signing_request=requester.signing_request
    )
    assert client.Heartbeat(heartbeat).acknowledged

    after = api.join("web", Requester())

    assert refusal(lambda: client.Heartbeat(heartbeat))[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(lambda: client.RenewCertificate(renewal))[0] is grpc.StatusCode.UNAUTHENTICATED
    heartbeat.credential = renewal.credential = after.credential
    assert client.Heartbeat(heartbeat).acknowledged
    renewed = client.RenewCertificate(renewal).certificate
    heartbeat.credential = ""
    assert api.client(requester, renewed).Heartbeat(heartbeat).acknowledged


def test_a_certificate_that_others_issued_is_good_for_each_registration_of_its_server(
    api: Api,
) -> None:
    requester = Requester()
    web = api.join("web", requester)
    certificate = issued_elsewhere(api, requester, web.server_id)
    client = api.client(requester, certificate)

    api.join("web", Requester())

    assert client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id)).acknowledged
    fetch = pb.FetchConfigurationRequest(server_id=web.server_id)
    assert client.FetchConfiguration(fetch).revision == 0
    renewal = pb.RenewCertificateRequest(
        server_id=web.server_id, signing_request=requester.signing_request
    )
    assert client.RenewCertificate(renewal).certificate


def issued_elsewhere(api: Api, requester: Requester, server_id: int) -> str:
    """By the same authority, in somebody's own way."""
    authority = read_authority(api.files.ca_file, api.files.ca_file.parent / "ca.key")
    spiffe_id = server_spiffe_id("manmanv2", server_id)
    return authority.issue(requester.signing_request, spiffe_id, "web", timedelta(hours=1))
