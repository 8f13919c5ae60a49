"""The calls that a host can make with the certificate of its server, over real TLS."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest

from adapters.x509.authority import read_authority
from domain.enforcement import ENFORCE_ALL
from domain.errors import CertificateMismatch
from domain.spiffe import server_spiffe_id
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.certificates import CertificateFiles
from tests.support.certified import PresentedCertificate, asked
from tests.support.certified_api import KEY, CertifiedApi, NewKeyPairs, certified_api


@dataclass
class Joined:
    server_id: int
    credential: str
    mutual_tls_port: int
    presented: PresentedCertificate


@dataclass
class Api:
    api: CertifiedApi
    channels: ExitStack

    def client(self, presented: PresentedCertificate | None = None) -> ManManAPIStub:
        """A client with a certificate, at the mutual-TLS port, or one without."""
        root = self.api.files.ca_file.read_bytes()
        credentials = (
            presented.credentials(root) if presented else grpc.ssl_channel_credentials(root)
        )
        port = self.api.mutual_tls_port if presented else self.api.port
        channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials)
        self.channels.callback(channel.close)
        return ManManAPIStub(channel)

    def join(self, name: str) -> Joined:
        pair = NewKeyPairs()()
        answer = self.client().RegisterServer(
            pb.RegisterServerRequest(
                name=name, registration_key=KEY, signing_request=pair.signing_request
            )
        )
        presented = PresentedCertificate(answer.certificate, pair.key)
        return Joined(answer.server_id, answer.credential, answer.mutual_tls_port, presented)


@pytest.fixture
def api(files: CertificateFiles) -> Iterator[Api]:
    with certified_api(files, ENFORCE_ALL) as api, ExitStack() as channels:
        yield Api(api, channels)


def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


def test_a_certificate_comes_with_its_server_and_the_mutual_tls_port(api: Api) -> None:
    api.join("web")

    db = api.join("db")

    assert db.presented.name == str(db.server_id) == "2"
    assert db.mutual_tls_port == api.api.mutual_tls_port


def test_a_certificate_is_valid_for_its_own_server_only_whatever_else_is_sent(
    api: Api,
) -> None:
    web, db = api.join("web"), api.join("db")
    client = api.client(web.presented)

    response = client.Heartbeat(pb.HeartbeatRequest(server_id=web.server_id))
    for call, request in (
        (client.Heartbeat, pb.HeartbeatRequest(server_id=db.server_id, credential=db.credential)),
        (
            client.FetchConfiguration,
            pb.FetchConfigurationRequest(server_id=db.server_id, registration_key=KEY),
        ),
        (client.Deregister, pb.DeregisterRequest(server_id=db.server_id, registration_key=KEY)),
        (
            client.RenewCertificate,
            pb.RenewCertificateRequest(server_id=db.server_id, credential=db.credential),
        ),
    ):
        code, text = refusal(lambda call=call, request=request: call(request))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert text == str(CertificateMismatch(web.server_id, db.server_id))

    assert response.acknowledged


def test_a_certificate_is_renewed_only_with_the_certificate_or_the_credential(api: Api) -> None:
    web = api.join("web")
    certified, anonymous = api.client(web.presented), api.client()

    by_certificate = asked(lambda request: renewed(certified, web, request))
    by_neither = refusal(lambda: asked(lambda request: renewed(anonymous, web, request)))
    by_credential = asked(lambda request: renewed(anonymous, web, request, web.credential))

    assert by_neither[0] is grpc.StatusCode.UNAUTHENTICATED
    for presented in (by_certificate, by_credential):
        assert beats(api.client(presented), web)


def test_a_ban_takes_effect_at_the_next_call(api: Api) -> None:
    web = api.join("web")
    client = api.client(web.presented)
    assert beats(client, web)

    api.client().BanServer(pb.BanServerRequest(server_id=web.server_id))

    for call in (
        lambda: beats(client, web),
        lambda: asked(lambda request: renewed(client, web, request)),
    ):
        assert refusal(call)[0] is grpc.StatusCode.PERMISSION_DENIED


def test_a_later_registration_ends_a_certificate_unless_its_credential_is_sent_too(
    api: Api,
) -> None:
    before = api.join("web")
    client = api.client(before.presented)
    assert beats(client, before)

    after = api.join("web")

    by_certificate_alone = refusal(lambda: beats(client, before))
    another = refusal(lambda: asked(lambda request: renewed(client, before, request)))
    assert by_certificate_alone[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert another[0] is grpc.StatusCode.UNAUTHENTICATED
    assert beats(client, before, after.credential)
    presented = asked(lambda request: renewed(client, before, request, after.credential))
    assert beats(api.client(presented), before)


def test_a_certificate_issued_elsewhere_is_valid_for_every_registration_of_its_server(
    api: Api,
) -> None:
    web = api.join("web")
    client = api.client(asked(lambda request: issued_elsewhere(api, web, request)))

    api.join("web")

    assert beats(client, web)
    fetch = pb.FetchConfigurationRequest(server_id=web.server_id)
    assert client.FetchConfiguration(fetch).revision == 0
    assert asked(lambda request: renewed(client, web, request)).certificate


def beats(client: ManManAPIStub, joined: Joined, credential: str = "") -> bool:
    request = pb.HeartbeatRequest(server_id=joined.server_id, credential=credential)
    return client.Heartbeat(request).acknowledged


def renewed(
    client: ManManAPIStub, joined: Joined, signing_request: bytes, credential: str = ""
) -> str:
    request = pb.RenewCertificateRequest(
        server_id=joined.server_id, signing_request=signing_request, credential=credential
    )
    return client.RenewCertificate(request).certificate


def issued_elsewhere(api: Api, joined: Joined, signing_request: bytes) -> str:
    """A certificate that the same CA has issued outside the API."""
    files = api.api.files
    authority = read_authority(files.ca_file, files.ca_file.with_name("ca.key"))
    spiffe_id = server_spiffe_id("manmanv2", joined.server_id)
    return authority.issue(signing_request, spiffe_id, "web", timedelta(hours=1))
