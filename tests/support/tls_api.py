"""An API that uses TLS, and a host that registers with it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from adapters.grpc.client.host.control_plane import GrpcControlPlane
from adapters.grpc.tls.trust import Tls
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import RegistrationRequest
from entrypoints.api.container import ApiContainer
from entrypoints.api.settings import IN_MEMORY, ApiSettings
from entrypoints.testing import serving
from tests.support.canary_secrets import canary
from tests.support.certificates import CertificateFiles

KEY = canary("registration key")


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


def register_over_tls(address: str, tls: Tls | None) -> int:
    with closing(GrpcControlPlane(address, KeyRing.single(KEY), tls=tls)) as control_plane:
        return control_plane.register(RegistrationRequest(name="web")).server_id
