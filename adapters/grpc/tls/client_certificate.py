"""The certificate that a client shows, in files."""

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
    """In PEM; one file may hold both."""

    certificate_file: Path
    key_file: Path

    def read(self) -> tuple[bytes, bytes]:
        """The certificate, with those of the CAs between, and the key, which belong together.

        Its time is not looked at. Raises ClientCertificateUnusable.
        """
        self.facts()
        return self.certificate_file.read_bytes(), self.key_file.read_bytes()

    def facts(self) -> CertificateFacts:
        """Raises ClientCertificateUnusable."""
        try:
            found = _CERTIFICATE.search(self.certificate_file.read_bytes())
            self.key_file.read_bytes()
        except OSError as error:
            unread = error.filename or self.certificate_file
            raise ClientCertificateUnusable(
                f"{unread} cannot be read ({error.strerror}): mend it or its permissions"
            ) from None
        if not found:
            raise ClientCertificateUnusable(
                f"{self.certificate_file} holds no PEM certificate: set it to the file that"
                " `manmanv2 operators create --certificate` made"
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.load_into(context)
        try:
            return _told(context, self._as_server(), found[0].decode("ascii", "ignore"))
        except (ssl.SSLError, ValueError):
            raise ClientCertificateUnusable(
                f"{self.certificate_file} holds a certificate that is not fit for a client: set it"
                " to the file that `manmanv2 operators create --certificate` made"
            ) from None

    def key_id(self) -> str:
        """Of the operator's certificate, empty for any other. Raises ClientCertificateUnusable."""
        names = [uri.rpartition("/")[2] for uri in self.facts().uris]
        return next((name for name in names if is_key_id(name, OPERATOR_CERTIFICATE)), "")

    def load_into(self, context: ssl.SSLContext) -> None:
        """Raises ClientCertificateUnusable."""
        try:
            # Else OpenSSL asks for a password on the terminal.
            context.load_cert_chain(self.certificate_file, self.key_file, lambda: "")
        except (OSError, ValueError) as error:
            reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
            if "MISMATCH" in reason:
                why = f"is not of the key in {self.key_file}: set those that belong together"
            else:
                why = (
                    f"is of no use with {self.key_file}, which holds no PEM private key, or one"
                    " with a password: set API_CLIENT_KEY_PATH to the certificate's key, or leave"
                    " it away where one file holds both"
                )
            raise ClientCertificateUnusable(f"{self.certificate_file} {why}") from None

    def _as_server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.load_into(context)
        return context


def _told(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, certificate: str
) -> CertificateFacts:
    """What a server sees of it, to which it is shown in memory: it trusts it alone."""
    server_context.verify_mode = ssl.CERT_REQUIRED
    trust_only(server_context, certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    told = server.getpeercert()
    assert told
    return CertificateFacts.from_peer_certificate(told)
