"""Certificates in files, as an operator would install them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import trustme

from tests.support.canary_secrets import canary, leak_detector


class CertificateFiles:
    """A CA certificate, and a server certificate with its key that a test may replace."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.ca_file, self.certificate, self.key = (
            folder / name for name in ("ca.crt", "tls.crt", "tls.key")
        )
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        leak_detector.guard("private key of the CA", self.ca.private_key_pem.bytes())

    def issue(
        self,
        *names: str,
        by: trustme.CA | None = None,
        begins: timedelta = timedelta(days=-1),
        ends: timedelta = timedelta(days=90),
    ) -> None:
        """Write a new certificate. `begins` and `ends` are its validity relative to now."""
        now = datetime.now(UTC)
        leaf = (by or self.ca).issue_cert(
            *(names or ("127.0.0.1",)), not_before=now + begins, not_after=now + ends
        )
        self.write(leaf)

    def write(self, leaf: trustme.LeafCert) -> None:
        self.certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leak_detector.guard("private key", leaf.private_key_pem.bytes())
        # Text before the key in a PEM file is ignored; this mark shows where the file leaked.
        mark = f"{canary('private key')}\n".encode()
        self.key.write_bytes(mark + leaf.private_key_pem.bytes())

    @property
    def variables(self) -> dict[str, str]:
        return {"TLS_CERT_PATH": str(self.certificate), "TLS_KEY_PATH": str(self.key)}


@contextmanager
def tls_server(files: CertificateFiles) -> Iterator[str]:
    """The address of a gRPC server with this certificate and without any method."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    with _serving(grpc.ssl_server_credentials([pair])) as address:
        yield address


@contextmanager
def mutual_tls_server(files: CertificateFiles) -> Iterator[str]:
    """The address of a gRPC server that also requires a client certificate."""
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], files.ca_file.read_bytes(), True)
    with _serving(credentials) as address:
        yield address


@contextmanager
def without_tls() -> Iterator[str]:
    """The address of a gRPC server without TLS and without any method."""
    with _serving(None) as address:
        yield address


@contextmanager
def _serving(credentials: grpc.ServerCredentials | None) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    here = "127.0.0.1:0"
    port = (
        server.add_secure_port(here, credentials) if credentials else server.add_insecure_port(here)
    )
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()
