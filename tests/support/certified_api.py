"""An API with a CA, over real TLS, and hosts that get their certificates from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import trustme
from dependency_injector import providers

from adapters.grpc.client.host.api_trust import ApiTrust
from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.client.host.enrolment import Enrolment
from adapters.grpc.tls.trust import Tls
from adapters.system.files.authority_folder import DiskAuthorityFolder
from adapters.system.files.certificate_folder import DiskCertificateFolder
from adapters.x509.authority import read_authority
from adapters.x509.new_signing_request import new_signing_request
from application.access.certificates import Certificates
from application.host.certificate_store import CertificateStore
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import (
    HeartbeatResult,
    RegistrationRequest,
    RegistrationResult,
)
from application.ports.host.key_pairs import KeyPairUnavailable, NewKeyPair
from domain.enforcement import Enforcement, Mode, Switch
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.settings import Secret
from entrypoints.testing import serving
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles
from tests.support.services.ports import free_port

KEY = canary("registration key")
ONLY_CERTIFIED = Enforcement({Switch.CERTIFICATE: Mode.ENFORCE})
LIFETIME = 3600


class ManualClock:
    """A clock that only the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class NewKeyPairs:
    """Replaces the child process that generates key pairs, and takes no time."""

    broken: bool = False
    made: list[NewKeyPair] = field(default_factory=list)
    asked: int = 0

    def __call__(self) -> NewKeyPair:
        self.asked += 1
        if self.broken:
            raise KeyPairUnavailable("the process that makes it failed")
        self.made.append(NewKeyPair(*new_signing_request()))
        return self.made[-1]


@dataclass
class CertifiedApi:
    files: CertificateFiles
    container: ApiContainer
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def mutual_tls_port(self) -> int:
        return self.container.settings().mutual_tls_port

    @property
    def digest(self) -> str:
        """The digest that join keys contain for the API's CA."""
        certificates = self.container.certificates()
        assert certificates
        return str(certificates.authority.digest)


@contextmanager
def certified_api(
    files: CertificateFiles,
    enforcement: Enforcement = ONLY_CERTIFIED,
    *,
    authority: trustme.CA | None = None,
    instead_of: CertifiedApi | None = None,
    issues_at: datetime | None = None,
) -> Iterator[CertifiedApi]:
    """An API whose CA is that of the files, or `authority`, which then comes first in CA_CERT_PATH.

    `instead_of` is an ended API that this one replaces, with its ports and store. `issues_at` sets
    the clock of the CA.
    """
    port, mutual_tls_port = 0, free_port()
    if instead_of:
        port, mutual_tls_port = instead_of.port, instead_of.mutual_tls_port
    issuer = authority or files.ca
    ca_key = files.ca_file.with_name("ca.key")
    ca_key.write_bytes(issuer.private_key_pem.bytes())
    ca_certificates = files.ca_file.with_name("ca-bundle.crt")
    bundle = [issuer.cert_pem.bytes()]
    if authority:
        bundle.append(files.ca_file.read_bytes())
    ca_certificates.write_bytes(b"".join(bundle))
    container = ApiContainer(
        settings=ApiSettings(
            database_url=Secret(IN_MEMORY),
            listen_address=f"127.0.0.1:{port}",
            registration_key=Secret(KEY),
            tls_cert_path=files.certificate,
            tls_key_path=files.key,
            ca_cert_path=ca_certificates,
            ca_key_path=ca_key,
            mtls_listen_address=f"127.0.0.1:{mutual_tls_port}",
            host_certificate_lifetime_seconds=LIFETIME,
            enforcement=enforcement,
        )
    )
    if instead_of:
        container.store.override(providers.Object(instead_of.container.store()))
    if issues_at:
        own = read_authority(ca_certificates, ca_key)
        late = replace(own, now=lambda: issues_at)
        container.certificates.override(providers.Object(Certificates(late)))
    with serving(container) as port:
        yield CertifiedApi(files, container, port)
    container.host_call_admission().close()
    container.operator_calls().close()
    container.heartbeat_writer().shutdown()


@dataclass
class Host:
    """The part of a host that talks to the API. `folder` is its STATE_DIR."""

    address: str
    tls: Tls | None
    folder: Path | None = None
    keys: KeyRing = field(default_factory=lambda: KeyRing.single(KEY))
    mutual_tls_address: str = ""
    # The server id in the saved state.
    kept_server_id: int | None = None
    key_pairs: NewKeyPairs = field(default_factory=NewKeyPairs)
    clock: ManualClock = field(default_factory=ManualClock)
    server_id: int = 0

    def __post_init__(self) -> None:
        self.held = CertificateStore(DiskCertificateFolder(self.folder) if self.folder else None)
        self.held.load(self.kept_server_id)
        self.enrolment = Enrolment(
            self.address, self.held, self.key_pairs, self.mutual_tls_address, self.clock
        )
        kept = DiskAuthorityFolder(self.folder) if self.folder else None
        self.control_plane = GrpcControlPlane(
            self.address,
            self.keys,
            call_seconds=60,
            tls=self.tls,
            trust=ApiTrust(self.address, self.tls, kept),
            enrolment=self.enrolment if self.tls else None,
        )

    def joins(self, name: str = "web") -> RegistrationResult:
        joined = self.control_plane.register(RegistrationRequest(name=name))
        self.server_id, self.keys.credential = joined.server_id, joined.credential
        return joined

    def beats(self) -> HeartbeatResult:
        return self.control_plane.heartbeat(self.server_id, None)

    @property
    def certificate(self) -> str:
        return self.held.current.certificate if self.held.current else ""

    def close(self) -> None:
        self.control_plane.close()
