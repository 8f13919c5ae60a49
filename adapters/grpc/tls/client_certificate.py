"""The certificate with which a client identifies itself, in files."""

import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.grpc.tls.certificate import CertificateFacts, trust_only
from domain.keys import OPERATOR_CERTIFICATE, is_key_id

_CERTIFICATE = re.compile(
    rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)


class ClientCertificateUnusable(Exception):
    """The message completes the sentence "API_CLIENT_CERT_PATH …"."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate and its key in PEM. One file may hold both."""

    certificate_file: Path
    key_file: Path

    def read(self) -> tuple[bytes, bytes]:
        """The certificate, with those of its intermediate CAs, and its key.

        Raises ClientCertificateUnusable unless they belong together. The certificate may have
        expired.
        """
        self.facts()
        return self.certificate_file.read_bytes(), self.key_file.read_bytes()

    def facts(self) -> CertificateFacts:
        """Raises ClientCertificateUnusable."""
        try:
            pem = _CERTIFICATE.search(self.certificate_file.read_bytes())
            self.key_file.read_bytes()
        except OSError as error:
            file = error.filename or self.certificate_file
            raise ClientCertificateUnusable(
                f"{file} cannot be read ({error.strerror}): check the file and its permissions"
            ) from None
        if not pem:
            raise ClientCertificateUnusable(
                f"{self.certificate_file} holds no PEM certificate: set it to the file that"
                " `manmanv2 operators create --certificate` created"
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.load_into(context)
        try:
            return _facts_in_handshake(context, self._as_server(), pem[0].decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise ClientCertificateUnusable(
                f"{self.certificate_file} holds a certificate that is unsuitable for a client: set"
                " it to the file that `manmanv2 operators create --certificate` created"
            ) from None

    def key_id(self) -> str:
        """The id of an operator's certificate, empty for any other certificate. Raises
        ClientCertificateUnusable."""
        names = [uri.rpartition("/")[2] for uri in self.facts().uris]
        return next((name for name in names if is_key_id(name, OPERATOR_CERTIFICATE)), "")

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises ClientCertificateUnusable."""
        try:
            # Without the function, OpenSSL asks for a password on the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, lambda: "")
        except (OSError, ValueError) as error:
            reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
            if "MISMATCH" in reason:
                why = (
                    f"does not belong to the key in {self.key_file}: set files that belong together"
                )
            else:
                why = (
                    f"cannot be used with {self.key_file}, which holds no PEM private key, or an"
                    " encrypted one: set API_CLIENT_KEY_PATH to the certificate's key, or unset it"
                    " if one file holds both"
                )
            raise ClientCertificateUnusable(f"{self.certificate_file} {why}") from None

    def _as_server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.load_into(context)
        return context


def _facts_in_handshake(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, certificate: str
) -> CertificateFacts:
    """What a server sees that trusts only this certificate, in a handshake in memory."""
    server_context.verify_mode = ssl.CERT_REQUIRED
    trust_only(server_context, certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    peer_certificate = server.getpeercert()
    assert peer_certificate
    return CertificateFacts.from_peer_certificate(peer_certificate)
