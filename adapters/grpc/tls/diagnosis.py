"""Why a TLS connection to the API fails: the tables from OpenSSL's errors to a problem and its fix.

gRPC reports little more than that a handshake failed. So after a failed call this module connects
to the same port with Python's own TLS.
"""

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.grpc.tls.certificate import CertificateFacts, day_of, unverified_context
from adapters.grpc.tls.client_certificate import ClientCertificate, ClientCertificateUnusable
from adapters.grpc.tls.trust import CaFileUnusable, Tls, as_text

_STEP_TIMEOUT_SECONDS = 2.0

_CLIENT_CERTIFICATE_FIX = (
    "if this port requires a client certificate, set API_ADDRESS to the API's other port, or for"
    " `manmanv2` set API_CLIENT_CERT_PATH to an operator's certificate; otherwise see the API's log"
)
_NEW_CLIENT_CERTIFICATE = "create another one with `manmanv2 operators create --certificate`"


@dataclass(frozen=True, slots=True)
class TlsProblem:
    """What is wrong and what to do. `problem` continues the sentence "The API at HOST:PORT …"."""

    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.fix}"


def diagnose_tls(
    address: str, tls: Tls | None, seconds: float = _STEP_TIMEOUT_SECONDS
) -> TlsProblem | None:
    """Why a client with these settings cannot use TLS with the server at host:port.

    None if TLS is not the reason. There are at most three steps, and each takes at most `seconds`.
    """
    if tls is None:
        return _diagnose_without_tls(address, seconds)
    try:
        context = _context_like_grpc(tls)
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
            context.wrap_socket(connection, server_hostname=tls.server_name or host) as tls_socket,
        ):
            if tls_socket.selected_alpn_protocol() == "h2":
                return _from_first_read(tls_socket, tls)
            return TlsProblem(
                "uses TLS, but does not offer HTTP/2",
                "set API_ADDRESS to the API's port, or enable HTTP/2 on the proxy in front of the"
                " API",
            )
    except ssl.SSLCertVerificationError as error:
        rejected = _RejectedCertificate.fetch(error.verify_code, address, tls, seconds)
        return _BY_VERIFY_CODE.get(error.verify_code, _unsuitable)(rejected)
    except (ssl.SSLError, ConnectionError) as error:
        return _from_handshake(error, address, tls)
    except (OSError, ValueError):
        return None


def unverified_tls(address: str, name: str = "", seconds: float = 1.0) -> Tls:
    """TLS that trusts whatever certificate the server at host:port has now.

    Only two callers may use it. One asks an API on the same machine for its health: no attacker can
    be in between, and the certificate is for other names than localhost. The other sends nothing
    secret, and verifies the answer before it trusts it.
    """
    with suppress(OSError, ValueError):
        certificate, facts = _fetch_certificate(address, name, seconds)
        if facts.names:
            name = facts.names[0].replace("*", "any")
            return Tls(server_name=name, certificates=certificate.encode())
    return Tls()


def _context_like_grpc(tls: Tls) -> ssl.SSLContext:
    """Trusts what gRPC trusts: also a certificate in the file that is not a CA's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=as_text(tls.trusted()))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    if tls.client:
        tls.client.load_into(context)
    return context


def _diagnose_without_tls(address: str, seconds: float) -> TlsProblem | None:
    try:
        with (
            socket.create_connection(_split(address), seconds) as connection,
            unverified_context().wrap_socket(connection, server_hostname=_split(address)[0]),
        ):
            pass
    except ssl.SSLError as error:
        # Only a TLS server sends an alert.
        if "ALERT" not in (error.reason or ""):
            return None
    except OSError:
        return None
    return TlsProblem("requires TLS", f"set API_ADDRESS to https://{address}, or API_USE_TLS=true")


def _from_first_read(tls_socket: ssl.SSLSocket, tls: Tls) -> TlsProblem | None:
    """In TLS 1.3 a server that requires a client certificate refuses only after the handshake."""
    try:
        if tls_socket.recv(1):
            return None
    except ConnectionError:
        pass
    if tls.client:
        return _client_certificate_rejected(tls.client)
    return TlsProblem("closes the connection after the TLS handshake", _CLIENT_CERTIFICATE_FIX)


def _client_certificate_rejected(client: ClientCertificate) -> TlsProblem:
    """gRPC's servers do not report why they reject a certificate."""
    file, facts, now = client.certificate_file, client.facts(), datetime.now(UTC)
    rejects = f"rejects the certificate in API_CLIENT_CERT_PATH {file}"
    if facts.expires <= now:
        return TlsProblem(
            f"{rejects}, which expired on {day_of(facts.expires)}{_clock(now)}",
            f"{_NEW_CLIENT_CERTIFICATE}, or correct the clock",
        )
    return TlsProblem(
        f"{rejects}, which was issued by {facts.issuer or 'an unnamed CA'}",
        f"if that is not the API's CA, {_NEW_CLIENT_CERTIFICATE}; otherwise see the API's log",
    )


def _from_handshake(error: OSError, address: str, tls: Tls) -> TlsProblem:
    reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return TlsProblem("uses a TLS version that is too old", "enable TLS 1.2 or 1.3 there")
    if "ALERT" in reason:
        if tls.client:
            return _client_certificate_rejected(tls.client)
        return TlsProblem("refuses the TLS handshake", _CLIENT_CERTIFICATE_FIX)
    is_closed = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError))
    return TlsProblem(
        "closes the connection during the TLS handshake" if is_closed else "does not use TLS",
        "set API_ADDRESS to the port on which the API uses TLS, or if the API has no TLS, to"
        f" http://{address} without API_USE_TLS",
    )


@dataclass(frozen=True, slots=True)
class _RejectedCertificate:
    """A server's certificate that OpenSSL rejected. `facts` is None if it could not be fetched."""

    verify_code: int
    name: str
    tls: Tls
    facts: CertificateFacts | None
    now: datetime

    @classmethod
    def fetch(
        cls, verify_code: int, address: str, tls: Tls, seconds: float
    ) -> "_RejectedCertificate":
        name, facts = tls.server_name or _split(address)[0], None
        with suppress(OSError, ValueError):
            _, facts = _fetch_certificate(address, name, seconds)
        return cls(verify_code, name, tls, facts, datetime.now(UTC))


def _for_another_name(rejected: _RejectedCertificate) -> TlsProblem:
    name, facts = rejected.name, rejected.facts
    return TlsProblem(
        f"has a certificate for {facts.names_text}, not for {name}"
        if facts
        else f"has a certificate that is not for {name}",
        "use one of its names in API_ADDRESS, or set API_TLS_SERVER_NAME to one of them",
    )


def _expired(rejected: _RejectedCertificate) -> TlsProblem:
    facts, now = rejected.facts, rejected.now
    if facts and facts.expires <= now:
        return TlsProblem(
            f"has a certificate that expired on {day_of(facts.expires)}{_clock(now)}",
            "renew the certificate, or correct the clock",
        )
    return _ca_not_valid_now(rejected)


def _not_valid_yet(rejected: _RejectedCertificate) -> TlsProblem:
    facts, now = rejected.facts, rejected.now
    if facts and facts.valid_from > now:
        return TlsProblem(
            f"has a certificate that is not valid before {day_of(facts.valid_from)}{_clock(now)}",
            "correct the clock, or wait",
        )
    return _ca_not_valid_now(rejected)


def _ca_not_valid_now(rejected: _RejectedCertificate) -> TlsProblem:
    return TlsProblem(
        "has a certificate from a CA whose own certificate has expired or is not valid yet"
        f"{_clock(rejected.now)}",
        "renew the CA's certificate, or correct the clock",
    )


def _self_signed(rejected: _RejectedCertificate) -> TlsProblem:
    if rejected.tls.certificates:
        return _not_from_pinned_ca(rejected)
    return TlsProblem(
        "has a self-signed certificate that this machine does not trust",
        "set API_CA_CERT_PATH to a file with that certificate",
    )


def _from_unknown_ca(rejected: _RejectedCertificate) -> TlsProblem:
    if rejected.tls.certificates:
        return _not_from_pinned_ca(rejected)
    issuer = f" ({rejected.facts.issuer})" if rejected.facts and rejected.facts.issuer else ""
    where = "is not in API_CA_CERT_PATH" if rejected.tls.ca_file else "this machine does not trust"
    return TlsProblem(
        f"has a certificate from a CA{issuer} that {where}",
        "set API_CA_CERT_PATH to the file of that CA's certificate",
    )


def _not_from_pinned_ca(rejected: _RejectedCertificate) -> TlsProblem:
    issuer = rejected.facts.issuer if rejected.facts else ""
    return TlsProblem(
        f"has a certificate from {issuer or 'another CA'}, not from the CA that this host's join"
        " key names",
        "check which machine answers at this address, give the API a certificate from that CA, or"
        " set API_CA_CERT_PATH",
    )


def _unsuitable(_: _RejectedCertificate) -> TlsProblem:
    return TlsProblem(
        "has a certificate that is unsuitable for a server",
        "have its CA issue a server certificate with a key and a signature of today's strength",
    )


# By OpenSSL's X509_V_ERR_… codes.
_BY_VERIFY_CODE: Mapping[int, Callable[[_RejectedCertificate], TlsProblem]] = {
    2: _from_unknown_ca,
    9: _not_valid_yet,
    10: _expired,
    18: _self_signed,
    19: _from_unknown_ca,
    20: _from_unknown_ca,
    21: _from_unknown_ca,
    27: _from_unknown_ca,
    62: _for_another_name,
    64: _for_another_name,
}


def _clock(now: datetime) -> str:
    return f", and this machine's clock says {day_of(now)}"


def _fetch_certificate(address: str, name: str, seconds: float) -> tuple[str, CertificateFacts]:
    """The server's certificate in PEM and what it says. Raises OSError, ValueError."""
    host, port = _split(address)
    with (
        socket.create_connection((host, port), seconds) as connection,
        unverified_context().wrap_socket(connection, server_hostname=name or host) as tls_socket,
    ):
        der = tls_socket.getpeercert(binary_form=True)
    assert der
    certificate = ssl.DER_cert_to_PEM_cert(der)
    with (
        socket.create_connection((host, port), seconds) as connection,
        unverified_context(certificate).wrap_socket(
            connection, server_hostname=name or host
        ) as tls_socket,
    ):
        peer_certificate = tls_socket.getpeercert()
    assert peer_certificate
    return certificate, CertificateFacts.from_peer_certificate(peer_certificate)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
