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

_log = logging.getLogger(__name__)

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
# Writing two files takes a moment.
_TRIES = 3

_EXPIRES_SOON = timedelta(days=14)
_BETWEEN_REMINDERS = timedelta(days=1)


class CertificateUnusable(Exception):
    """The message is a sentence that names the setting and says what to do."""


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate with those of the CAs between, its key, both in PEM, and what it says."""

    chain: bytes
    key: bytes = field(repr=False)
    facts: CertificateFacts


def read_certified_key(certificate_path: Path, key_path: Path) -> CertifiedKey:
    """What the files that TLS_CERT_PATH and TLS_KEY_PATH name hold. Raises CertificateUnusable.

    They belong together, and are fit for a server; their time is not looked at.
    """
    for _ in range(_TRIES):
        before = _contents(certificate_path, key_path)
        found = _checked(certificate_path, key_path, *before)
        # OpenSSL has read them for itself.
        if before == _contents(certificate_path, key_path):
            return found
    raise CertificateUnusable(
        f"TLS_CERT_PATH {certificate_path} changes while it is read: let it be for a moment."
    )


def _contents(certificate_path: Path, key_path: Path) -> tuple[bytes, bytes]:
    return _read("TLS_CERT_PATH", certificate_path), _read("TLS_KEY_PATH", key_path)


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(
            f"{setting} {path} cannot be read ({error.strerror}): mend it or its permissions."
        ) from None


def _checked(certificate_path: Path, key_path: Path, chain: bytes, key: bytes) -> CertifiedKey:
    own = _CERTIFICATE.search(as_text(chain))
    no_certificate = CertificateUnusable(
        f"TLS_CERT_PATH {certificate_path} holds no PEM certificate: set it to the file of the"
        " API's certificate, followed by those of the CAs between."
    )
    if not own:
        raise no_certificate
    try:
        client = unverified_context(own[0])
    except ssl.SSLError:
        raise no_certificate from None
    server = _loaded(certificate_path, key_path, is_key=b"PRIVATE KEY-----" in key)
    try:
        facts = _spoken(client, server)
    except (ssl.SSLError, ValueError):
        raise CertificateUnusable(
            f"TLS_CERT_PATH {certificate_path} holds a certificate that is not fit for a server:"
            " have its CA issue one that is."
        ) from None
    if not facts.names:
        raise CertificateUnusable(
            f"TLS_CERT_PATH {certificate_path} holds a certificate that is for no name: have its CA"
            " issue one with the names under which the API is reached."
        )
    return CertifiedKey(chain, key, facts)


def _loaded(certificate_path: Path, key_path: Path, *, is_key: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asked_for_password: list[bool] = []

    def password() -> str:
        # Else OpenSSL asks for it on the terminal.
        asked_for_password.append(True)
        return ""

    try:
        context.load_cert_chain(certificate_path, key_path, password)
    except (ssl.SSLError, ValueError) as error:
        reason = error.reason or "" if isinstance(error, ssl.SSLError) else ""
        if asked_for_password:
            why = f"TLS_KEY_PATH {key_path} is encrypted: write the key into it without a password"
        elif "MISMATCH" in reason:
            why = (
                f"TLS_KEY_PATH {key_path} is not the key of the certificate in TLS_CERT_PATH"
                f" {certificate_path}: put those there that belong together"
            )
        elif "TOO_SMALL" in reason or "TOO_WEAK" in reason:
            why = (
                f"TLS_CERT_PATH {certificate_path} holds a certificate that is too weak: have its"
                " CA issue one with a longer key and a newer signature"
            )
        elif is_key:
            why = (
                f"TLS_CERT_PATH {certificate_path} or TLS_KEY_PATH {key_path} is damaged: write"
                " both anew"
            )
        else:
            why = (
                f"TLS_KEY_PATH {key_path} holds no PEM private key: set it to the file of the"
                " certificate's key"
            )
        raise CertificateUnusable(f"{why}.") from None
    except OSError as error:
        raise CertificateUnusable(
            f"TLS_CERT_PATH or TLS_KEY_PATH cannot be read ({error.strerror}): mend them."
        ) from None
    return context


def _spoken(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> CertificateFacts:
    """What a client sees of it: only in a handshake does Python tell what a certificate says."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    told = client.getpeercert()
    assert told
    return CertificateFacts.from_peer_certificate(told)


@dataclass
class ServerCertificate:
    """The certificate in two files that somebody may change at any time.

    `look` is called again and again; what it finds is `current` for new connections. As long as
    the files cannot be used, the one of before stays. Raises CertificateUnusable when there is none
    to begin with. `on_new_expiry` is told when each one that is taken later expires.
    """

    certificate_path: Path
    key_path: Path
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_new_expiry: Callable[[datetime], None] = lambda _: None
    current: CertifiedKey = field(init=False)
    _remind_at: datetime = field(init=False)
    _trouble: TransientFailureLog = field(init=False)

    def __post_init__(self) -> None:
        self._trouble = TransientFailureLog(
            _log, "TLS_CERT_PATH and TLS_KEY_PATH can be used again."
        )
        self.current = read_certified_key(self.certificate_path, self.key_path)
        self._remind_at = self.now()
        if self.current.facts.expires <= self._remind_at:
            raise self._expired(self.current)

    def summary(self) -> str:
        """For a sentence."""
        facts = self.current.facts
        return f"for {facts.names_text}, until {day_of(facts.expires)}"

    def expiry_warning(self) -> str:
        """What an operator has to be told of it, after "The certificate …"; mostly nothing."""
        facts, now = self.current.facts, self.now()
        clock = f", and this machine's clock says {day_of(now)}, so that nobody can connect"
        if facts.valid_from > now:
            return f"is valid from {day_of(facts.valid_from)} on{clock}"
        if facts.expires <= now:
            return f"expired on {day_of(facts.expires)}{clock}"
        if facts.expires - now <= _EXPIRES_SOON:
            return f"expires on {day_of(facts.expires)}"
        return ""

    def reload(self) -> None:
        try:
            if (self.current.chain, self.current.key) != _contents(
                self.certificate_path, self.key_path
            ):
                self._take(read_certified_key(self.certificate_path, self.key_path))
            self._trouble.ends()
        except CertificateUnusable as error:
            self._trouble.failed(f"{error} Until then the certificate of before is in use.")
        self._remind()

    def _take(self, found: CertifiedKey) -> None:
        now = self.now()
        if found.facts.expires <= now:
            raise self._expired(found)
        if found.facts.valid_from > now:
            raise CertificateUnusable(
                f"TLS_CERT_PATH {self.certificate_path} holds a certificate that is valid from"
                f" {day_of(found.facts.valid_from)} on, and is taken then."
            )
        self.current, self._remind_at = found, now
        self.on_new_expiry(found.facts.expires)
        _log.info("TLS_CERT_PATH has changed: the certificate in use is %s.", self.summary())

    def _expired(self, found: CertifiedKey) -> CertificateUnusable:
        return CertificateUnusable(
            f"TLS_CERT_PATH {self.certificate_path} holds a certificate that expired on"
            f" {day_of(found.facts.expires)}, and this machine's clock says {day_of(self.now())}:"
            " renew it, or set the clock."
        )

    def _remind(self) -> None:
        now = self.now()
        why = self.expiry_warning() if now >= self._remind_at else ""
        if why:
            self._remind_at = now + _BETWEEN_REMINDERS
            _log.warning(
                "The certificate in use %s: put another one at TLS_CERT_PATH and TLS_KEY_PATH,"
                " which is taken without a restart.",
                why,
            )
