"""The facts of a certificate, read with the standard library only."""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Self

# X509_V_FLAG_NO_CHECK_TIME, for which Python has no name.
_NO_CHECK_TIME = 0x200000
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# X.690
_EXPLICIT_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_MAX_NAMES = 5
_MAX_TEXT_LENGTH = 100


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The names and the issuer of a certificate, and the time in which it is valid."""

    names: Sequence[str]
    issuer: str
    valid_from: datetime
    expires: datetime
    uris: Sequence[str] = ()

    @classmethod
    def from_peer_certificate(cls, peer_certificate: Mapping[str, Any]) -> Self:
        """From what `SSLSocket.getpeercert` returns. Raises ValueError for an invalid time."""
        subject, issuer = _flat(peer_certificate["subject"]), _flat(peer_certificate["issuer"])
        names = [
            _named(kind, name)
            for kind, name in peer_certificate.get("subjectAltName", ())
            if kind in ("DNS", "IP Address")
        ]
        common_name = subject.get("commonName")
        return cls(
            names=names or ([_printable(common_name)] if common_name else []),
            issuer=_printable(
                issuer.get("commonName")
                or issuer.get("organizationalUnitName")
                or issuer.get("organizationName", "")
            ),
            valid_from=_cert_time(peer_certificate["notBefore"]),
            expires=_cert_time(peer_certificate["notAfter"]),
            uris=[
                _printable(name)
                for kind, name in peer_certificate.get("subjectAltName", ())
                if kind == "URI"
            ],
        )

    @property
    def names_text(self) -> str:
        """The first names, to be read in a sentence."""
        if not self.names:
            return "nobody"
        more = ", …" if len(self.names) > _MAX_NAMES else ""
        return f"{', '.join(self.names[:_MAX_NAMES])}{more}"


def unverified_context(certificate: str | None = None) -> ssl.SSLContext:
    """A context for a client that reads a server's certificate without trusting it.

    Python decodes only a certificate that it trusts. So a first connection accepts any, and a
    second one, with that `certificate` in PEM, trusts only this one, whatever its name, its time
    and its CA.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if certificate is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        trust_only(context, certificate)
    return context


def certificates_in(pem: str) -> Sequence[str]:
    """The certificates in a text, one by one, without what is between them."""
    return _PEM.findall(pem)


def validity_of(pem: str) -> tuple[datetime, datetime]:
    """The times between which the first certificate is valid. Raises ValueError.

    For a certificate outside a connection: the standard library decodes one only in a handshake or
    from a file.
    """
    try:
        ((_, certificate),) = _elements(ssl.PEM_cert_to_DER_cert(certificates_in(pem)[0]))
        _, to_be_signed = next(_elements(certificate))
        parts = [content for tag, content in _elements(to_be_signed) if tag != _EXPLICIT_VERSION]
        # After the serial number, the algorithm and the issuer.
        valid_from, expires = (_time(tag, content) for tag, content in _elements(parts[3]))
    except (IndexError, StopIteration):
        raise ValueError("no certificate") from None
    return valid_from, expires


def trust_only(context: ssl.SSLContext, certificate: str) -> None:
    """Trust only this certificate in PEM, whatever its time and its CA."""
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME


def day_of(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _named(kind: str, name: str) -> str:
    if kind == "IP Address":
        with suppress(ValueError):
            return str(ip_address(name.strip()))
    return _printable(name)


def _flat(name: Sequence[Sequence[tuple[str, str]]]) -> Mapping[str, str]:
    return {key: value for part in name for key, value in part}


def _cert_time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the content of each DER element."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            begin, at = at, at + (length & 0x7F)
            length = int.from_bytes(der[begin:at], "big")
        if at + length > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> datetime:
    layout = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(tag)
    if layout is None:
        raise ValueError("no time")
    return datetime.strptime(content.decode("ascii"), layout).replace(tzinfo=UTC)


def _printable(text: str) -> str:
    # The server that answers may have put anything into it.
    return "".join(each if each.isprintable() else "?" for each in text[:_MAX_TEXT_LENGTH]).strip()
