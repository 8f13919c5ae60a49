from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from application.ports.diagnosis import DiagnosedError

# Python's ssl is imported where it is used: help and completion do without.
if TYPE_CHECKING:
    from adapters.grpc.tls.client_certificate import ClientCertificate

# Where distributions keep the machine's CAs, in addition to the file that OpenSSL is set to.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


class CaFileUnusable(DiagnosedError):
    """The message completes the sentence "API_CA_CERT_PATH …"."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client verifies the server, and identifies itself.

    It trusts the CAs in `ca_file`, else `certificates` in PEM, else the machine's CAs. The server's
    certificate must be for `server_name` if that is set, else for the host of the address. `client`
    is the client's own certificate.
    """

    ca_file: Path | None = None
    server_name: str = ""
    certificates: bytes = field(default=b"", repr=False)
    client: "ClientCertificate | None" = None

    def trusted(self) -> bytes:
        """The trusted certificates in PEM, read again each time. Raises CaFileUnusable."""
        if self.ca_file:
            return read_ca_file(self.ca_file)
        return self.certificates or _system_cas()


def read_ca_file(path: Path) -> bytes:
    """The content of a file with at least one PEM certificate. Raises CaFileUnusable."""
    import ssl

    try:
        content = path.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=as_text(content))
    # Python's ssl raises ValueError for an empty file.
    except (OSError, ValueError) as error:
        is_read = isinstance(error, ssl.SSLError | ValueError)
        problem = "holds no PEM certificate" if is_read else "cannot be read"
        raise CaFileUnusable(
            f"{path} {problem}", "set it to the file of the CA that issues the API's certificate"
        ) from error
    return content


def as_text(pem: bytes) -> str:
    """The text for Python's ssl, without other characters than ASCII: those are in comments between
    the certificates."""
    return pem.decode("ascii", "ignore")


def system_ca_bundles() -> Sequence[Path]:
    """Files that may hold the machine's CAs in PEM. The first that exists counts."""
    import ssl

    openssl_file = ssl.get_default_verify_paths().cafile
    return [Path(path) for path in (openssl_file, *_BUNDLES) if path]


def _system_cas() -> bytes:
    for path in (*system_ca_bundles(), *_grpc_ca_bundles()):
        with suppress(OSError):
            content = path.read_bytes()
            if content:
                return content
    return b""


def _grpc_ca_bundles() -> Sequence[Path]:
    """Mozilla's CAs, which gRPC ships, for a machine that has none."""
    import grpc

    return [Path(grpc.__file__).parent / "_cython/_credentials/roots.pem"]
