"""By which CA a host verifies the API, over real TLS: the pin in its join key."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
import trustme
from cryptography import x509

from adapters.grpc.client.api_probe import GrpcApiProbe
from adapters.grpc.client.host.api_trust import ApiTrust
from adapters.grpc.tls.certificate import certificates_in
from adapters.grpc.tls.trust import Tls
from adapters.system.files.authority_folder import DiskAuthorityFolder, ReadOnlyAuthorityFolder
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneUnavailable
from domain.errors import InvalidRegistrationKey
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles
from tests.support.certified_api import CertifiedApi, Host, certified_api

NewHost = Callable[..., Host]
OTHER_DIGEST = "0" * 64
KEY_ID = f"jk-{'a' * 10}"
SHOWN_JOIN_KEY = f"{KEY_ID}.{canary('secret')}"
NO_CA = Tls()


@pytest.fixture(autouse=True)
def _all_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def api(files: CertificateFiles) -> Iterator[CertifiedApi]:
    with certified_api(files) as api:
        yield api


@pytest.fixture
def new_host() -> Iterator[NewHost]:
    """Hosts without a CA file."""
    with ExitStack() as stack:

        def new(address: str, *keys: str, tls: Tls | None = NO_CA, **options: Any) -> Host:
            host = Host(address, tls, keys=KeyRing(lambda: keys), **options)
            stack.callback(host.close)
            return host

        yield new


def join_key(api: CertifiedApi) -> str:
    """A join key without a pin."""
    root = api.files.ca_file.read_bytes()
    with grpc.secure_channel(api.address, grpc.ssl_channel_credentials(root)) as channel:
        return str(ManManAPIStub(channel).CreateJoinKey(pb.CreateJoinKeyRequest()).key)


def pinned_key(api: CertifiedApi) -> str:
    return f"{join_key(api)}.{api.digest}"


@dataclass
class Impostor(grpc.GenericRpcHandler):
    """A server that answers in place of the API, with its own certificate."""

    # The bundle that it sends, or the code with which it refuses.
    bundle: str | grpc.StatusCode
    ca: trustme.CA = field(default_factory=trustme.CA)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def __enter__(self) -> Self:
        leaf = self.ca.issue_cert("127.0.0.1")
        pair = (leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
        self._server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers([self])
        port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        self._server.start()
        self.address = f"127.0.0.1:{port}"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None).wait()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        self.asked.append(details.method.rpartition("/")[2])
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        if isinstance(self.bundle, grpc.StatusCode):
            context.abort(self.bundle, str(InvalidRegistrationKey()))
        return pb.GetTrustBundleResponse(certificates=self.bundle).SerializeToString()


def refused(host: Host) -> str:
    with pytest.raises(ControlPlaneUnavailable) as caught:
        host.joins()
    return str(caught.value)


def test_a_host_verifies_the_api_by_the_pin_in_its_join_key_alone(
    api: CertifiedApi, new_host: NewHost, state: Path
) -> None:
    host = new_host(api.address, pinned_key(api), folder=state)
    host.joins()
    host.beats()

    stored = DiskAuthorityFolder(state).read()
    assert stored
    assert stored.authority_digest == api.digest
    assert stored.certificates == "".join(
        f"{each}\n" for each in certificates_in(api.files.ca_file.read_text())
    )


def test_without_a_pin_a_host_does_not_trust_an_api_whose_ca_the_machine_does_not_trust(
    api: CertifiedApi, new_host: NewHost
) -> None:
    assert "has a certificate from a CA" in refused(new_host(api.address, join_key(api)))


def test_a_host_stores_the_api_s_ca_for_a_start_without_the_key(
    api: CertifiedApi, new_host: NewHost, state: Path
) -> None:
    first = new_host(api.address, pinned_key(api), folder=state)
    first.joins()
    again = new_host(api.address, folder=state)
    again.keys.credential = first.keys.credential

    assert again.joins().server_id == first.server_id


def test_a_key_that_pins_another_ca_is_not_sent(
    new_host: NewHost, state: Path, api: CertifiedApi
) -> None:
    with Impostor(bundle=api.files.ca_file.read_text()) as impostor:
        host = new_host(impostor.address, f"{SHOWN_JOIN_KEY}.{OTHER_DIGEST}", folder=state)
        message = refused(host)

    assert message == (
        f"The API at {impostor.address} (API_ADDRESS) has another CA than the one that the"
        f" join key {KEY_ID} pins, so the key is not sent: use a key of that API, or find out what"
        " answers there in its place."
    )
    assert impostor.asked == ["GetTrustBundle"]
    assert not (state / "authority.json").exists()


def test_a_host_does_not_trust_a_server_that_only_sends_the_pinned_ca(
    api: CertifiedApi, new_host: NewHost
) -> None:
    with Impostor(bundle=api.files.ca_file.read_text()) as impostor:
        host = new_host(impostor.address, pinned_key(api))
        message = refused(host)

    assert impostor.asked == ["GetTrustBundle"]
    assert message == (
        f"The API at {impostor.address} (API_ADDRESS) has a certificate from"
        f" {organization_of(impostor.ca)}, not from the CA that this host's join key names: check"
        " which machine answers at this address, give the API a certificate from that CA, or set"
        " API_CA_CERT_PATH."
    )


def organization_of(ca: trustme.CA) -> str:
    subject = x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject
    (unit,) = subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    return str(unit.value)


def test_a_host_does_not_trust_another_ca_beside_the_pinned_one(
    api: CertifiedApi, new_host: NewHost
) -> None:
    evil = trustme.CA()
    both = api.files.ca_file.read_text() + evil.cert_pem.bytes().decode()
    with Impostor(bundle=both, ca=evil) as impostor:
        refused(new_host(impostor.address, pinned_key(api)))

    assert impostor.asked == ["GetTrustBundle"]


@pytest.mark.parametrize("bundle", ["", "none", "-----BEGIN CERTIFICATE-----\n!\n"])
def test_an_empty_or_broken_bundle_proves_nothing(bundle: str, new_host: NewHost) -> None:
    with Impostor(bundle=bundle) as impostor:
        message = refused(new_host(impostor.address, f"{SHOWN_JOIN_KEY}.{OTHER_DIGEST}"))

    assert "has another CA than the one that" in message


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INTERNAL,
    ],
)
def test_an_api_without_a_ca_is_reported_and_does_not_end_the_host(
    code: grpc.StatusCode, new_host: NewHost
) -> None:
    with Impostor(bundle=code) as impostor:
        message = refused(new_host(impostor.address, f"{SHOWN_JOIN_KEY}.{OTHER_DIGEST}"))

    assert "reports no CA, but the join key" in message
    assert impostor.asked == ["GetTrustBundle"]


def test_without_tls_a_key_with_a_pin_is_not_sent(new_host: NewHost) -> None:
    host = new_host("127.0.0.1:1", f"{SHOWN_JOIN_KEY}.{OTHER_DIGEST}", tls=None)

    assert refused(host) == (
        f"The join key {KEY_ID} pins the API's CA, which requires TLS: set API_ADDRESS to"
        " https://127.0.0.1:1."
    )


def test_each_of_several_keys_uses_its_own_pin(api: CertifiedApi, new_host: NewHost) -> None:
    host = new_host(api.address, f"{SHOWN_JOIN_KEY}.{OTHER_DIGEST}", pinned_key(api))

    host.joins()
    host.beats()


def test_a_key_that_the_verified_api_refuses_is_an_invalid_key(
    api: CertifiedApi, new_host: NewHost
) -> None:
    with pytest.raises(InvalidRegistrationKey):
        new_host(api.address, f"{SHOWN_JOIN_KEY}.{api.digest}").joins()


def test_a_ca_file_takes_precedence_over_the_key_s_pin(
    api: CertifiedApi, new_host: NewHost
) -> None:
    host = new_host(api.address, f"{join_key(api)}.{OTHER_DIGEST}", tls=Tls(api.files.ca_file))

    assert host.joins().server_id


def test_a_damaged_file_is_logged_and_the_key_s_pin_is_used_again(
    api: CertifiedApi, new_host: NewHost, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = pinned_key(api)
    new_host(api.address, key, folder=state).joins("one")
    file = state / "authority.json"
    file.write_bytes(file.read_bytes()[:100])
    new_host(api.address, key, folder=state).joins("two")

    assert DiskAuthorityFolder(state).read()
    assert [each for each in caplog.messages if str(file) in each] == [
        (
            f"{file} is damaged, or was written by a later version: this host starts without it and"
            " identifies the API by its join key or the CAs of this machine."
        )
    ]


def test_a_host_follows_the_api_from_one_ca_to_the_next(
    files: CertificateFiles, new_host: NewHost, state: Path
) -> None:
    old, new = files.ca, trustme.CA()
    with certified_api(files) as api:
        key = pinned_key(api)
        running = new_host(api.address, key, folder=state)
        running.joins()
    # Both CAs are trusted and the new one issues, but the API has a certificate of the old one.
    with certified_api(files, authority=new, instead_of=api):
        running.clock.seconds += 86400
        running.beats()
    # The API has a certificate of the new CA, and the old CA is removed.
    files.issue(by=new)
    new.cert_pem.write_to_path(str(files.ca_file))
    files.ca = new
    with certified_api(files, instead_of=api):
        running.beats()
        for _ in range(2):
            again = new_host(api.address, key, folder=state)
            again.joins()
            again.beats()

    stored = DiskAuthorityFolder(state).read()
    assert stored
    assert old.cert_pem.bytes().decode().strip() not in stored.certificates


def test_an_api_that_reports_cas_other_than_its_own_does_not_lock_hosts_out(
    files: CertificateFiles, new_host: NewHost, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with certified_api(files) as api:
        running = new_host(api.address, pinned_key(api), folder=state)
        running.joins()
    before = DiskAuthorityFolder(state).read()
    # Too early: the API's certificate is still from the old CA.
    files.ca_file.write_bytes(b"")
    with certified_api(files, authority=trustme.CA(), instead_of=api):
        running.joins()
        running.beats()

    assert DiskAuthorityFolder(state).read() == before
    assert any(each.startswith("None of the CAs that the API at") for each in caplog.messages)


def test_the_doctor_verifies_the_api_by_the_join_key_and_writes_nothing(
    api: CertifiedApi, state: Path
) -> None:
    trust = ApiTrust(api.address, Tls(), ReadOnlyAuthorityFolder(state))
    probe = GrpcApiProbe(api.address, Tls(), trust)

    assert probe.try_key(pinned_key(api)).admitted
    assert not probe.try_key(canary("strange key")).admitted
    assert list(state.iterdir()) == []


def test_the_doctor_reports_that_the_key_pins_another_ca(api: CertifiedApi) -> None:
    probe = GrpcApiProbe(api.address, Tls(), ApiTrust(api.address, Tls()))

    with pytest.raises(ControlPlaneUnavailable, match="has another CA than the one that"):
        probe.try_key(f"{join_key(api)}.{OTHER_DIGEST}")
