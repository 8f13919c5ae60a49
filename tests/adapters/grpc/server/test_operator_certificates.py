"""Certificates of operators, pinned CAs in join keys, and other features of an API with a CA, over
real TLS."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.grpc.client.operator_client import OperatorCallFailed, OperatorClient
from adapters.grpc.tls.client_certificate import ClientCertificate
from adapters.grpc.tls.trust import Tls
from adapters.x509.new_signing_request import new_signing_request
from domain.errors import (
    CertificateNotFromOwnCA,
    CertificateRequired,
    NoCertificatesIssued,
    OperatorCertificateRefused,
)
from domain.join_key import NewJoinKey
from domain.keys import JOIN_KEY, PlaintextKey
from domain.role import Role
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.testing import serving
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1.manman_pb2_grpc import ManManAPIStub
from tests.support.canary_secrets import canary, leak_detector
from tests.support.certified import A_DAY, PresentedCertificate, Site, asked, reaches
from tests.support.services.ports import free_port

KEY = canary("registration key")
MINUTE = timedelta(minutes=1)


@dataclass
class Api:
    site: Site
    container: ApiContainer
    address: str
    mutual_tls_address: str
    folder: Path

    def operator(
        self, presented: PresentedCertificate | None = None, *, address: str = ""
    ) -> OperatorClient:
        """A client at the mutual-TLS port if it has a certificate, else at the other port."""
        client = None
        if presented:
            file = presented.write(self.folder / "client.pem")
            client = ClientCertificate(file, file)
        where = address or (self.mutual_tls_address if presented else self.address)
        return OperatorClient(where, None, Tls(self.site.ca_file, client=client))

    def host(self, presented: PresentedCertificate | None = None) -> ManManAPIStub:
        root = self.site.ca_file.read_bytes()
        credentials = (
            presented.credentials(root) if presented else grpc.ssl_channel_credentials(root)
        )
        address = self.mutual_tls_address if presented else self.address
        return ManManAPIStub(grpc.secure_channel(address, credentials))

    def join(self, name: str) -> tuple[int, PresentedCertificate]:
        key, signing_request = new_signing_request()
        joined = self.host().RegisterServer(
            pb.RegisterServerRequest(
                name=name, registration_key=KEY, signing_request=signing_request
            )
        )
        return joined.server_id, PresentedCertificate(joined.certificate, key)

    def certify(
        self, name: str = "ann", role: Role = Role.ADMIN, expires_in: timedelta = timedelta(0)
    ) -> PresentedCertificate:
        key, signing_request = new_signing_request()
        with closing(self.operator()) as client:
            _, certificate = client.create_operator_certificate(
                name, role, signing_request, expires_in
            )
        return PresentedCertificate(certificate, key)

    @property
    def names(self) -> list[str]:
        with closing(self.operator()) as client:
            return [server.name for server in client.servers()]


@contextmanager
def running(site: Site, folder: Path, **variables: str) -> Iterator[Api]:
    mutual_tls = f"127.0.0.1:{free_port()}"
    all_variables = {
        **site.variables,
        "DATABASE_URL": IN_MEMORY,
        "LISTEN_ADDRESS": "127.0.0.1:0",
        "MTLS_LISTEN_ADDRESS": mutual_tls,
        "REGISTRATION_KEY": KEY,
        **variables,
    }
    settings = ApiSettings.load({name: text for name, text in all_variables.items() if text})
    container = ApiContainer(settings=settings)
    with serving(container) as port:
        yield Api(site, container, f"127.0.0.1:{port}", mutual_tls, folder)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def api(site: Site, tmp_path: Path) -> Iterator[Api]:
    with running(site, tmp_path) as api:
        yield api


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    try:
        call()
    except OperatorCallFailed as error:
        return error.code, str(error)
    except grpc.RpcError as error:
        rpc_error: Any = error
        return rpc_error.code(), rpc_error.details()
    raise AssertionError("it was not refused")


# Operators


def test_a_certificate_names_its_stored_key_and_ends_with_it(api: Api) -> None:
    short, usual = api.certify("bob", Role.VIEWER, MINUTE), api.certify()
    with closing(api.operator(usual)) as client:
        rows = {row.name: row for row in client.operator_keys()}

    for presented, name, lifetime in ((usual, "ann", 90 * A_DAY), (short, "bob", MINUTE)):
        certificate = x509.load_pem_x509_certificate(presented.certificate.encode())
        row = rows[name]
        assert row.expires_at
        assert presented.name == row.key_id
        assert row.key_id.startswith("oc-")
        assert abs(certificate.not_valid_after_utc - row.expires_at) <= timedelta(seconds=1)
        assert row.expires_at - row.created_at == lifetime


def test_a_certificate_and_its_stored_key_end_with_the_ca_at_the_latest(
    api: Api, site: Site
) -> None:
    presented = api.certify(expires_in=50 * 365 * A_DAY)
    with closing(api.operator(presented)) as client:
        (row,) = client.operator_keys()

    assert row.expires_at == site.authority.expires_at


def test_a_revoked_certificate_is_refused_at_the_next_call_of_the_same_connection(
    api: Api,
) -> None:
    ann, bob = api.certify(), None
    with closing(api.operator(ann)) as client:
        key, signing_request = new_signing_request()
        row, certificate = client.create_operator_certificate("bob", Role.VIEWER, signing_request)
        bob = PresentedCertificate(certificate, key)
        with closing(api.operator(bob)) as his:
            assert list(his.servers()) == []
            client.revoke_operator_key(row.key_id)

            code, text = refused(lambda: list(his.servers()))
        assert row.created_by == "ann"

    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert text == str(OperatorCertificateRefused())


def test_the_first_admin_certificate_makes_keys_required_on_this_machine(api: Api) -> None:
    with closing(api.operator()) as client:
        assert list(client.servers()) == []
        api.certify()

        assert refused(lambda: list(client.servers()))[0] is grpc.StatusCode.UNAUTHENTICATED


def test_no_public_fact_of_a_certificate_works_as_a_key(api: Api) -> None:
    presented = api.certify()
    with api.container.store().begin() as transaction:
        (row,) = transaction.operator_keys.page("", 10)
    for sent in (
        row.key_id,
        f"{row.key_id}.{row.digest}",
        f"{row.key_id}.x",
        f"ok-{row.key_id[3:]}.{row.digest}",
        presented.name,
        presented.certificate.replace("\n", ""),
    ):
        with closing(OperatorClient(api.address, sent, Tls(api.site.ca_file))) as client:
            assert refused(lambda: list(client.servers()))[0] is grpc.StatusCode.UNAUTHENTICATED


def test_an_invalid_signing_request_stores_no_key(api: Api) -> None:
    with closing(api.operator()) as client:
        for name, signing_request in (("ann", b"no"), ("", new_signing_request()[1])):
            create = partial(client.create_operator_certificate, name, Role.ADMIN, signing_request)
            code, _ = refused(create)
            assert code is grpc.StatusCode.INVALID_ARGUMENT

        assert list(client.operator_keys()) == []


def test_an_operator_that_uses_a_certificate_at_the_wrong_port_gets_an_error_that_says_so(
    api: Api,
) -> None:
    ann = api.certify()
    server_id, host = api.join("web")
    fix = (
        "did not recognise the certificate in API_CLIENT_CERT_PATH: set API_ADDRESS to the API's"
        " mutual-TLS port (MTLS_LISTEN_ADDRESS), and use a certificate that `manmanv2 operators"
        " create --certificate` created"
    )
    for presented, address in ((ann, api.address), (host, api.mutual_tls_address)):
        with closing(api.operator(presented, address=address)) as client:
            assert refused(lambda: list(client.servers())) == (
                grpc.StatusCode.UNAUTHENTICATED,
                f"the API at {address} {fix}",
            )
    assert server_id


def test_an_operator_whose_certificate_is_rejected_gets_the_reason(
    api: Api, tmp_path: Path
) -> None:
    names = ["spiffe://manmanv2/operator/oc-aaaaaaaaaa"]
    expired = api.site.gives(names, expired=True)
    from_other_ca = Site(tmp_path / "other", "Their CA").gives(names)
    file = tmp_path / "client.pem"
    now = datetime.now(UTC)
    begin = (
        f"the API at {api.mutual_tls_address} rejects the certificate in API_CLIENT_CERT_PATH"
        f" {file}, which"
    )
    another = "create another one with `manmanv2 operators create --certificate`"
    refusals = []
    for presented in (expired, from_other_ca):
        with closing(api.operator(presented)) as client:
            refusals.append(refused(lambda: list(client.servers())))
    with closing(api.operator(address=api.mutual_tls_address)) as client:
        code, without = refused(lambda: list(client.servers()))

    assert refusals[0][1].startswith(f"{begin} expired on {now - A_DAY:%Y-%m-%d} ")
    assert refusals[0][1].endswith(f": {another}, or correct the clock")
    assert refusals[1][1] == (
        f"{begin} was issued by Their CA: if that is not the API's CA, {another}; otherwise see"
        " the API's log"
    )
    assert "set API_ADDRESS to the API's other port" in without
    assert {refusals[0][0], refusals[1][0], code} == {grpc.StatusCode.UNAVAILABLE}


# Pinned CAs


def pinned(api: Api) -> str:
    with closing(api.operator()) as client:
        _, key, _ = client.create_join_key(NewJoinKey(), pins_authority=True)
    return key


def test_a_join_key_contains_the_digest_of_the_apis_ca(api: Api) -> None:
    presented = PlaintextKey.parse(pinned(api), JOIN_KEY)
    joined = api.host().RegisterServer(
        pb.RegisterServerRequest(name="web", registration_key=str(presented))
    )
    bundle = api.host().GetTrustBundle(pb.GetTrustBundleRequest()).certificates

    assert presented
    assert joined.server_id
    assert presented.authority_digest == api.site.authority.digest
    assert bundle == api.site.ca_file.read_text()


def test_no_key_pins_a_ca_until_the_api_has_a_certificate_from_its_own(
    api: Api, site: Site, tmp_path: Path
) -> None:
    other, certificate = Site(tmp_path / "other"), api.container.certificate()
    assert certificate
    site.issue("127.0.0.1", by=other)
    certificate.reload()
    with closing(OperatorClient(api.address, None, Tls(other.ca_file))) as client:
        refusal = refused(lambda: client.create_join_key(NewJoinKey(), pins_authority=True))
        made = list(client.join_keys())
    site.issue("127.0.0.1")
    certificate.reload()

    assert refusal == (grpc.StatusCode.FAILED_PRECONDITION, str(CertificateNotFromOwnCA()))
    assert made == []
    assert pinned(api)


def test_an_api_without_a_ca_pins_none_and_issues_no_certificates(
    site: Site, tmp_path: Path
) -> None:
    without = {"CA_CERT_PATH": "", "CA_KEY_PATH": "", "MTLS_LISTEN_ADDRESS": ""}
    with running(site, tmp_path, **without) as api, closing(api.operator()) as client:
        refusals = [
            refused(lambda: client.create_join_key(NewJoinKey(), pins_authority=True)),
            refused(
                lambda: client.create_operator_certificate(
                    "ann", Role.ADMIN, new_signing_request()[1]
                )
            ),
            refused(lambda: api.host().GetTrustBundle(pb.GetTrustBundleRequest())),
        ]
        assert list(client.join_keys()) == []
        assert list(client.operator_keys()) == []

    assert set(refusals) == {(grpc.StatusCode.FAILED_PRECONDITION, str(NoCertificatesIssued()))}


def test_a_ca_from_elsewhere_works_too(site: Site, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(site.ca_file))
    ca.private_key_pem.write_to_path(str(site.ca_key))
    site.issue("127.0.0.1", "localhost")
    with running(site, tmp_path) as api:
        presented = api.certify()
        with closing(api.operator(presented)) as client:
            assert list(client.servers()) == []
        server_id, host = api.join("web")
        response = api.host(host).Heartbeat(pb.HeartbeatRequest(server_id=server_id))
        assert response.acknowledged


# Signing requests of hosts


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with running(Site(folder / "site"), folder) as api:
        yield api


GOOD = new_signing_request()[1]


def with_changed_byte(place: int, change: int) -> bytes:
    request = bytearray(GOOD)
    request[place] ^= change
    return bytes(request)


@settings(deadline=None, max_examples=200)
@given(
    st.binary(min_size=1, max_size=200)
    | st.builds(with_changed_byte, st.integers(0, len(GOOD) - 1), st.integers(1, 255))
    | st.integers(0, 20_000).map(lambda size: GOOD + bytes(size))
)
def test_no_signing_request_causes_an_internal_error_and_a_refused_one_registers_no_host(
    fuzzed: Api, signing_request: bytes
) -> None:
    client, before = fuzzed.host(), fuzzed.names
    name = f"web{len(before)}"
    request = pb.RegisterServerRequest(
        name=name, registration_key=KEY, signing_request=signing_request
    )
    try:
        joined = client.RegisterServer(request)
    except grpc.RpcError as error:
        rpc_error: Any = error
        assert rpc_error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert rpc_error.details().startswith("signing_request must ")
        assert fuzzed.names == before
    else:
        certificate = x509.load_pem_x509_certificate(joined.certificate.encode())
        own = x509.load_der_x509_csr(GOOD).public_key()
        assert certificate.public_key() == own
    renewal = pb.RenewCertificateRequest(server_id=1, signing_request=signing_request)
    assert refused(lambda: client.RenewCertificate(renewal))[0] is not grpc.StatusCode.INTERNAL


# Enforcing certificates


@pytest.mark.parametrize("mode", ["off", "warn", "enforce"])
def test_a_host_without_a_certificate_is_admitted_listed_or_refused(
    site: Site, tmp_path: Path, mode: str
) -> None:
    with running(site, tmp_path, ENFORCEMENT=f"certificate={mode}") as api:
        server_id, presented = api.join("web")
        heartbeat = pb.HeartbeatRequest(server_id=server_id)
        fetch = pb.FetchConfigurationRequest(server_id=server_id, registration_key=KEY)

        def answers_to(host: ManManAPIStub) -> list[str]:
            answers = []
            for call in (
                partial(host.Heartbeat, heartbeat),
                partial(host.FetchConfiguration, fetch),
            ):
                try:
                    call()
                except grpc.RpcError as error:
                    refusal: Any = error
                    answers.append(refusal.details())
                else:
                    answers.append("admitted")
            return answers

        with closing(api.operator()) as client:
            with_one, listed = answers_to(api.host(presented)), list(client.dry_run_refusals())
            assert (with_one, listed) == (["admitted"] * 2, [])
            without = answers_to(api.host())
            listed = list(client.dry_run_refusals())

    required = str(CertificateRequired(server_id))
    assert without == [required if mode == "enforce" else "admitted"] * 2
    refusals = {(entry.switch.value, entry.server_id, entry.reason) for entry in listed}
    assert refusals == ({("certificate", server_id, required)} if mode == "warn" else set())


# Replacing the certificate of the API


def test_both_ports_use_a_replaced_certificate(api: Api, site: Site) -> None:
    certificate = api.container.certificate()
    assert certificate
    server_id, host = api.join("web")
    connected = api.host(host)
    connected.Heartbeat(pb.HeartbeatRequest(server_id=server_id))
    presented_certificates = []
    for _ in range(2):
        site.issue("127.0.0.1", "localhost")
        certificate.reload()
        presented_certificates.append([shown_at(api.address), shown_at(api.mutual_tls_address)])
        own = site.tls_cert.read_text().strip()
        assert presented_certificates[-1] == [own, own]
        assert reaches(api.mutual_tls_address, site.ca_file.read_bytes(), host)
        assert not reaches(api.mutual_tls_address, site.ca_file.read_bytes(), None)

    assert presented_certificates[0] != presented_certificates[1]
    assert connected.Heartbeat(pb.HeartbeatRequest(server_id=server_id)).acknowledged


def shown_at(address: str) -> str:
    host, port = address.split(":")
    return ssl.get_server_certificate((host, int(port))).strip()


def test_the_private_key_of_the_ca_appears_nowhere(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    presented = asked(
        lambda request: api.container.certificates().of_server(7, 1, request)  # type: ignore[union-attr]
    )
    key = api.site.ca_key.read_text()
    secret_lines = [line for line in key.splitlines() if "-" not in line]
    leak_detector.check("in the certificates", api.container.certificates())
    output = f"{caplog.text}{api.container.certificates()!r}{presented.certificate}"

    assert secret_lines
    assert not [line for line in secret_lines if line in output]
