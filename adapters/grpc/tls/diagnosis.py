"""The one table from what keeps a client from speaking TLS to what an operator is told.

gRPC says that a handshake failed and hardly why. So, once a call did not get through, the port is
looked at with Python's own TLS.
"""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.grpc.tls.certificate import CertificateFacts, day_of, unverified_context
from adapters.grpc.tls.client_certificate import ClientCertificate, ClientCertificateUnusable
from adapters.grpc.tls.trust import CaFileUnusable, Tls, as_text

_STEP_SECONDS = 2.0

_NO_CERTIFICATE_OF_OURS = (
    "where it takes clients with a certificate alone, set API_ADDRESS to the API's other port, or"
    " for `manmanv2` API_CLIENT_CERT_PATH to an operator's certificate; else its log says why"
)

# OpenSSL's X509_V_ERR_…
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED = 9, 10, 18
_UNKNOWN_CA = (2, 19, 20, 21, 27)
_OTHER_NAME = (62, 64)


@dataclass(frozen=True, slots=True)
class TlsProblem:
    """What is wrong and what to do. `problem` continues the sentence "The API at HOST:PORT …"."""

    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.fix}"


def diagnose_tls(
    address: str, tls: Tls | None, seconds: float = _STEP_SECONDS
) -> TlsProblem | None:
    """Why a client with these settings cannot speak with whoever listens at host:port.

    None where TLS is not the reason. Each step takes so many seconds at most, and there are three.
    """
    if tls is None:
        return _of_no_tls(address, seconds)
    try:
        context = _strict(tls)
    except (CaFileUnusable, ClientCertificateUnusable, ssl.SSLError):
        return None
    host, port = _split(address)
    try:
        connection = socket.create_connection((host, port), seconds)
    except OSError:
        return None
    try:
        with (
            connection,
            context.wrap_socket(connection, server_hostname=tls.server_name or host) as spoken,
        ):
            if spoken.selected_alpn_protocol() == "h2":
                return _from_first_read(spoken, tls)
            return TlsProblem(
                "speaks TLS, but not HTTP/2",
                "set API_ADDRESS to the API's port, or have the proxy before the API pass HTTP/2",
            )
    except ssl.SSLCertVerificationError as error:
        return _of_certificate(error.verify_code, address, tls, seconds)
    except (ssl.SSLError, ConnectionError) as error:
        return _of_handshake(error, address, tls)
    except (OSError, ValueError):
        return None


def unverified_tls(address: str, name: str = "", seconds: float = 1.0) -> Tls:
    """TLS that trusts whoever listens there now, by the certificate that it shows.

    Only for who asks an API on this same machine how it is, since nobody is between and its
    certificate is for other names than those of the loopback; and for who says nothing that is
    secret and believes nothing unseen.
    """
    with suppress(OSError, ValueError):
        certificate, facts = _look_at(address, name, seconds)
        if facts.names:
            name = facts.names[0].replace("*", "any")
            return Tls(server_name=name, certificates=certificate.encode())
    return Tls()


def _strict(tls: Tls) -> ssl.SSLContext:
    """As gRPC's own: with a certificate as trustworthy that is no CA's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=as_text(tls.trusted()))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    if tls.client:
        tls.client.load_into(context)
    return context


def _of_no_tls(address: str, seconds: float) -> TlsProblem | None:
    try:
        with (
            socket.create_connection(_split(address), seconds) as connection,
            unverified_context().wrap_socket(connection, server_hostname=_split(address)[0]),
        ):
            pass
    except ssl.SSLError as error:
        # An alert comes from one who speaks it too.
        if "ALERT" not in (error.reason or ""):
            return None
    except OSError:
        return None
    return TlsProblem("speaks TLS", f"set API_ADDRESS to https://{address}, or API_USE_TLS=true")


def _from_first_read(spoken: ssl.SSLSocket, tls: Tls) -> TlsProblem | None:
    """In TLS 1.3 one who wants a certificate of the client says so, or hangs up, only now."""
    try:
        if spoken.recv(1):
            return None
    except ConnectionError:
        pass
    if tls.client:
        return _of_client(tls.client)
    return TlsProblem("hangs up once TLS is spoken with it", _NO_CERTIFICATE_OF_OURS)


def _of_client(client: ClientCertificate) -> TlsProblem:
    """gRPC's servers do not say what they have against a certificate."""
    file, facts, now = client.certificate_file, client.facts(), datetime.now(UTC)
    another = "have another one made by `manmanv2 operators create --certificate`"
    if facts.expires <= now:
        return TlsProblem(
            f"does not take the certificate in API_CLIENT_CERT_PATH {file}, which expired on"
            f" {day_of(facts.expires)}, and this machine's clock says {day_of(now)}",
            f"{another}, or set the clock",
        )
    return TlsProblem(
        f"does not take the certificate in API_CLIENT_CERT_PATH {file}, which"
        f" {facts.issuer or 'somebody'} issued",
        f"if that is not the API's authority, {another}; else its log says why",
    )


def _of_handshake(error: OSError, address: str, tls: Tls) -> TlsProblem:
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return TlsProblem(
            "speaks a version of TLS that is too old",
            "have it speak TLS 1.2 or 1.3",
        )
    if "ALERT" in reason:
        if tls.client:
            return _of_client(tls.client)
        return TlsProblem("refuses to speak TLS with this machine", _NO_CERTIFICATE_OF_OURS)
    found = "does not speak TLS"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        found = "closes the connection when it is spoken to in TLS"
    return TlsProblem(
        found,
        "set API_ADDRESS to the port on which the API speaks TLS, or where it does without to"
        f" http://{address}, and leave API_USE_TLS away",
    )


def _of_certificate(verify_code: int, address: str, tls: Tls, seconds: float) -> TlsProblem:
    name = tls.server_name or _split(address)[0]
    facts, now = None, datetime.now(UTC)
    with suppress(OSError, ValueError):
        _, facts = _look_at(address, name, seconds)
    if verify_code in _OTHER_NAME:
        named = f", but for {facts.names_text}" if facts else ""
        return TlsProblem(
            f"shows a certificate that is not for {name}{named}",
            "use a name that it is for in API_ADDRESS, or set API_TLS_SERVER_NAME to one",
        )
    if verify_code == _EXPIRED and facts and facts.expires <= now:
        return TlsProblem(
            f"shows a certificate that expired on {day_of(facts.expires)}, and this machine's clock"
            f" says {day_of(now)}",
            "renew the certificate, or set the clock",
        )
    if verify_code == _NOT_YET_VALID and facts and facts.valid_from > now:
        return TlsProblem(
            f"shows a certificate that is valid from {day_of(facts.valid_from)} on, and this"
            f" machine's clock says {day_of(now)}",
            "set the clock, or wait",
        )
    if verify_code in (_EXPIRED, _NOT_YET_VALID):
        return TlsProblem(
            "shows a certificate of a CA whose own is not valid at this machine's time,"
            f" {day_of(now)}",
            "renew the CA's certificate, or set the clock",
        )
    if tls.certificates and verify_code in (_SELF_SIGNED, *_UNKNOWN_CA):
        issuer = f" {facts.issuer}" if facts and facts.issuer else ""
        return TlsProblem(
            f"shows a certificate of{issuer or ' a CA'}, which is not the authority that this host"
            " knows the API by, as its join key says",
            "see who is between, and have the API show a certificate of that authority, or set"
            " API_CA_CERT_PATH",
        )
    if verify_code == _SELF_SIGNED:
        return TlsProblem(
            "shows a certificate that it signed itself and that is not trusted here",
            "set API_CA_CERT_PATH to the file of that certificate",
        )
    if verify_code in _UNKNOWN_CA:
        issuer = f" ({facts.issuer})" if facts and facts.issuer else ""
        where = "is not in API_CA_CERT_PATH" if tls.ca_file else "this machine does not trust"
        return TlsProblem(
            f"shows a certificate of a CA{issuer} that {where}",
            "set API_CA_CERT_PATH to the file of that CA's certificate",
        )
    return TlsProblem(
        "shows a certificate that is not fit for a server",
        "have its CA issue one that is, with a key and a signature of today's strength",
    )


def _look_at(address: str, name: str, seconds: float) -> tuple[str, CertificateFacts]:
    """The certificate that is shown there in PEM, and what it says. Raises OSError, ValueError."""
    host, port = _split(address)
    with (
        socket.create_connection((host, port), seconds) as connection,
        unverified_context().wrap_socket(connection, server_hostname=name or host) as spoken,
    ):
        shown = spoken.getpeercert(binary_form=True)
    assert shown
    certificate = ssl.DER_cert_to_PEM_cert(shown)
    with (
        socket.create_connection((host, port), seconds) as connection,
        unverified_context(certificate).wrap_socket(
            connection, server_hostname=name or host
        ) as spoken,
    ):
        told = spoken.getpeercert()
    assert told
    return certificate, CertificateFacts.from_peer_certificate(told)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
