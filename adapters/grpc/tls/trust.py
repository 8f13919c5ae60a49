from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

# Python's ssl is imported where it is used: help and completion do without.
if TYPE_CHECKING:
    from adapters.grpc.tls.client_certificate import ClientCertificate

# Where distributions keep the CAs of the machine, besides where OpenSSL was told to look.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


class CaFileUnusable(Exception):
    """The message completes the sentence "API_CA_CERT_PATH …"."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a client makes sure with whom it speaks.

    By the CAs in the file, else by `certificates` in PEM, else by the machine's; the certificate
    must be for `server_name`, where that is set, else for the host of the address. `client` is what
    it shows of itself.
    """

    ca_file: Path | None = None
    server_name: str = ""
    certificates: bytes = field(default=b"", repr=False)
    client: "ClientCertificate | None" = None

    def trusted(self) -> bytes:
        """Certificates in PEM, read anew. Raises CaFileUnusable."""
        if self.ca_file:
            return read_ca_file(self.ca_file)
        return self.certificates or _of_the_machine()


def read_ca_file(path: Path) -> bytes:
    """What is in it, which is PEM with at least one certificate. Raises CaFileUnusable."""
    import ssl

    try:
        content = path.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=as_text(content))
    # Python's ssl has the second for a file without a word in it.
    except (OSError, ValueError) as error:
        is_read = isinstance(error, ssl.SSLError | ValueError)
        trouble = "holds no PEM certificate" if is_read else "cannot be read"
        raise CaFileUnusable(
            f"{path} {trouble}: set it to the file of the CA that issues the API's certificate"
        ) from error
    return content


def as_text(pem: bytes) -> str:
    """As Python's ssl takes it. What is not ASCII stands between the certificates, as a comment."""
    return pem.decode("ascii", "ignore")


def system_ca_bundles() -> Sequence[Path]:
    """Where its CAs may be, in PEM: the first file that there is counts."""
    import ssl

    of_openssl = ssl.get_default_verify_paths().cafile
    return [Path(path) for path in (of_openssl, *_BUNDLES) if path]


def _of_the_machine() -> bytes:
    for path in (*system_ca_bundles(), *_of_grpc()):
        with suppress(OSError):
            content = path.read_bytes()
            if content:
                return content
    return b""


def _of_grpc() -> Sequence[Path]:
    """Where gRPC keeps the CAs that it brings along, Mozilla's, for a machine that has none."""
    import grpc

    return [Path(grpc.__file__).parent / "_cython/_credentials/roots.pem"]
