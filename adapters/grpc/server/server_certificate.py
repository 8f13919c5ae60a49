import logging
import re
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from adapters.grpc.tls.certificate import CertificateFacts, day_of, unverified_context
from adapters.grpc.tls.trust import as_text
from application.host.transient_failure_log import TransientFailureLog
from application.ports.diagnosis import DiagnosedFailure

_log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
# Somebody may be writing the two files.
_MAX_TRIES = 3

_EXPIRY_WARNING_PERIOD = timedelta(days=14)
_REMINDER_INTERVAL = timedelta(days=1)


class CertificateUnusable(DiagnosedFailure):
    """The message is a sentence with the setting and what to do."""


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate with those of its intermediate CAs, its key, both in PEM, and its facts."""

    chain: bytes
    key: bytes = field(repr=False)
    facts: CertificateFacts


def read_certified_key(certificate_path: Path, key_path: Path) -> CertifiedKey:
    """Read the files of TLS_CERT_PATH and TLS_KEY_PATH. Raises CertificateUnusable unless they
    belong together and suit a server. The certificate may have expired.
    """
    for _ in range(_MAX_TRIES):
        before = _contents(certificate_path, key_path)
        pair = _check(certificate_path, key_path, *before)
        # OpenSSL has read the files itself, maybe other contents.
        if before == _contents(certificate_path, key_path):
            return pair
    raise CertificateUnusable(
        f"TLS_CERT_PATH {certificate_path} changes while it is read",
        "stop writing to it for a moment",
    )


def _contents(certificate_path: Path, key_path: Path) -> tuple[bytes, bytes]:
    return _read("TLS_CERT_PATH", certificate_path), _read("TLS_KEY_PATH", key_path)


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(
            f"{setting} {path} cannot be read ({error.strerror})",
            "check the file and its permissions",
        ) from None


def _check(certificate_path: Path, key_path: Path, chain: bytes, key: bytes) -> CertifiedKey:
    own = _CERTIFICATE.search(as_text(chain))
    no_certificate = CertificateUnusable(
        f"TLS_CERT_PATH {certificate_path} holds no PEM certificate",
        "set it to the file with the API's certificate, followed by those of the intermediate CAs",
    )
    if not own:
        raise no_certificate
    try:
        client = unverified_context(own[0])
    except ssl.SSLError:
        raise no_certificate from None
    server = _load(certificate_path, key_path, is_key=b"PRIVATE KEY-----" in key)
    try:
        facts = _facts_in_handshake(client, server)
    except (ssl.SSLError, ValueError):
        raise CertificateUnusable(
            f"TLS_CERT_PATH {certificate_path} holds a certificate that is unsuitable for a server",
            "have its CA issue a server certificate",
        ) from None
    if not facts.names:
        raise CertificateUnusable(
            f"TLS_CERT_PATH {certificate_path} holds a certificate without a name",
            "have its CA issue one with the names under which clients reach the API",
        )
    return CertifiedKey(chain, key, facts)


def _load(certificate_path: Path, key_path: Path, *, is_key: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    is_encrypted = False

    def password() -> str:
        # Without this, OpenSSL asks on the terminal.
        nonlocal is_encrypted
        is_encrypted = True
        return ""

    try:
        context.load_cert_chain(certificate_path, key_path, password)
    except (ssl.SSLError, ValueError) as error:
        reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
        if is_encrypted:
            problem = f"TLS_KEY_PATH {key_path} is encrypted"
            fix = "store the key in it without a password"
        elif "MISMATCH" in reason:
            problem = (
                f"TLS_KEY_PATH {key_path} is not the key of the certificate in TLS_CERT_PATH"
                f" {certificate_path}"
            )
            fix = "set both to files that belong together"
        elif "TOO_SMALL" in reason or "TOO_WEAK" in reason:
            problem = f"TLS_CERT_PATH {certificate_path} holds a certificate that is too weak"
            fix = "have its CA issue one with a longer key and a newer signature"
        elif is_key:
            problem = f"TLS_CERT_PATH {certificate_path} or TLS_KEY_PATH {key_path} is damaged"
            fix = "write both files again"
        else:
            problem = f"TLS_KEY_PATH {key_path} holds no PEM private key"
            fix = "set it to the file with the certificate's key"
        raise CertificateUnusable(problem, fix) from None
    except OSError as error:
        raise CertificateUnusable(
            f"TLS_CERT_PATH or TLS_KEY_PATH cannot be read ({error.strerror})",
            "check the files and their permissions",
        ) from None
    return context


def _facts_in_handshake(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext
) -> CertificateFacts:
    """What a client sees. Python decodes a certificate only after a handshake."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    peer_certificate = client.getpeercert()
    assert peer_certificate
    return CertificateFacts.from_peer_certificate(peer_certificate)


@dataclass
class ServerCertificate:
    """The certificate in two files that may be replaced at any time.

    `reload` is called periodically, and new connections get `current`. If the new files cannot be
    used, the previous certificate stays. Without a usable one at the start, the constructor raises
    CertificateUnusable. `on_new_expiry` is called with the end of each later certificate.
    """

    certificate_path: Path
    key_path: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_new_expiry: Callable[[datetime], None] = lambda _: None
    current: CertifiedKey = field(init=False)
    _remind_at: datetime = field(init=False)
    _failure_log: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._failure_log = TransientFailureLog(
            _log, "TLS_CERT_PATH and TLS_KEY_PATH can be used again."
        )
        self.current = read_certified_key(self.certificate_path, self.key_path)
        self._remind_at = self.now()
        if self.current.facts.expires <= self._remind_at:
            raise self._expired(self.current)

    def summary(self) -> str:
        """Continues the sentence "the certificate is …"."""
        facts = self.current.facts
        return f"for {facts.names_text}, until {day_of(facts.expires)}"

    def expiry_warning(self) -> str:
        """Continues the sentence "The certificate …"; empty if there is nothing to warn about."""
        facts, now = self.current.facts, self.now()
        clock = f", and this machine's clock says {day_of(now)}, so no client can connect"
        if facts.valid_from > now:
            return f"is not valid before {day_of(facts.valid_from)}{clock}"
        if facts.expires <= now:
            return f"expired on {day_of(facts.expires)}{clock}"
        if facts.expires - now <= _EXPIRY_WARNING_PERIOD:
            return f"expires on {day_of(facts.expires)}"
        return ""

    def reload(self) -> None:
        try:
            if (self.current.chain, self.current.key) != _contents(
                self.certificate_path, self.key_path
            ):
                self._use(read_certified_key(self.certificate_path, self.key_path))
            self._failure_log.recovered()
        except CertificateUnusable as error:
            self._failure_log.failed(f"{error} Until then the previous certificate is in use.")
        self._remind()

    def _use(self, pair: CertifiedKey) -> None:
        now = self.now()
        if pair.facts.expires <= now:
            raise self._expired(pair)
        if pair.facts.valid_from > now:
            raise CertificateUnusable(
                f"TLS_CERT_PATH {self.certificate_path} holds a certificate that is"
                f" not valid before {day_of(pair.facts.valid_from)}. The API starts"
                " to use it then"
            )
        self.current, self._remind_at = pair, now
        self.on_new_expiry(pair.facts.expires)
        _log.info("TLS_CERT_PATH has changed: the certificate in use is %s.", self.summary())

    def _expired(self, pair: CertifiedKey) -> CertificateUnusable:
        return CertificateUnusable(
            f"TLS_CERT_PATH {self.certificate_path} holds a certificate that expired"
            f" on {day_of(pair.facts.expires)}, and this machine's clock says"
            f" {day_of(self.now())}",
            "renew it, or correct the clock",
        )

    def _remind(self) -> None:
        now = self.now()
        warning = self.expiry_warning() if now >= self._remind_at else ""
        if warning:
            self._remind_at = now + _REMINDER_INTERVAL
            _log.warning(
                "The certificate in use %s: replace the files at TLS_CERT_PATH and TLS_KEY_PATH."
                " The API uses the new ones without a restart.",
                warning,
            )
