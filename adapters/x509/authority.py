"""A certificate authority in two files."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from adapters.x509.certificates import (
    UNREADABLE,
    as_pem,
    key_as_pem,
    key_usage,
    name_of,
    new_key,
    signature_hash,
)
from application.ports.certificate_authority import AuthorityExpired
from application.ports.diagnosis import DiagnosedFailure
from domain.certificate_life import BACKDATED
from domain.errors import InvalidField

_log = logging.getLogger(__name__)

# Far more than any honest request has.
_MAX_REQUEST_BYTES = 8 * 1024
_RSA_BITS = range(2048, 4097)
_CURVES = (ec.SECP256R1, ec.SECP384R1)

# Docker Compose generates names with an underscore.
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_MAX_DNS_NAME_LENGTH = 253


class AuthorityUnusable(DiagnosedFailure):
    """The message is a sentence that names the setting and says what to do."""


@dataclass(frozen=True)
class X509Authority:
    """Issues certificates with `own`, and trusts all of `trusted`: `own` itself or the CAs above
    it, and possibly others."""

    own: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    trusted: Sequence[x509.Certificate]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def bundle(self) -> str:
        return "".join(map(as_pem, self.trusted))

    @property
    def digest(self) -> str:
        return self.own.fingerprint(hashes.SHA256()).hex()

    @property
    def expires_at(self) -> datetime:
        return self.own.not_valid_after_utc

    def has_issued(self, chain: bytes) -> bool:
        try:
            certificate, *between = x509.load_pem_x509_certificates(chain)
        except UNREADABLE:
            return False
        while not _is_from(certificate, self.own):
            issuer = next((each for each in between if _is_from(certificate, each)), None)
            if not issuer:
                return False
            # Each once, so that certificates that issued each other are not followed forever.
            between.remove(issuer)
            certificate = issuer
        return True

    def check(self, signing_request: bytes) -> None:
        _public_key(signing_request)

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        public_key = _public_key(signing_request)
        certificate = self._issued(
            public_key,  # type: ignore[arg-type]  # checked to be one of a few
            common_name,
            [x509.UniformResourceIdentifier(spiffe_id)],
            ExtendedKeyUsageOID.CLIENT_AUTH,
            lifetime,
        )
        _log.info(
            "issued a certificate for %s, serial %x, until %s",
            spiffe_id,
            certificate.serial_number,
            f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
        )
        return as_pem(certificate)

    def issue_to_api(self, names: Sequence[str], lifetime: timedelta) -> tuple[str, str]:
        """A certificate and its new key in PEM, for an API with these DNS names or IP addresses.

        The certificate ends no later than that of the authority. Raises ValueError for an invalid
        name, and AuthorityExpired.
        """
        key = new_key()
        certificate = self._issued(
            key.public_key(),
            "manmanv2-api",
            list(map(_general_name, names)),
            ExtendedKeyUsageOID.SERVER_AUTH,
            lifetime,
        )
        # A client that trusts only the root needs the intermediate certificate.
        between = [] if self.own.issuer == self.own.subject else [self.own]
        return "".join(map(as_pem, [certificate, *between])), key_as_pem(key)

    def _issued(
        self,
        public_key: CertificatePublicKeyTypes,
        common_name: str,
        names: Iterable[x509.GeneralName],
        use: x509.ObjectIdentifier,
        lifetime: timedelta,
    ) -> x509.Certificate:
        now = self.now()
        if self.expires_at <= now:
            raise AuthorityExpired(
                "the certificate in CA_CERT_PATH expired on"
                f" {self.expires_at:%Y-%m-%d %H:%M} UTC: make another with"
                " `manmanv2 ca init`, and start the API again with it"
            )
        return (
            x509.CertificateBuilder()
            .subject_name(name_of(common_name))
            .issuer_name(self.own.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + lifetime, self.expires_at))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(_key_identifier(self.own), critical=False)
            .sign(self.key, signature_hash(self.key))
        )


def read_authority(
    certificate_path: Path,
    key_path: Path,
    settings: tuple[str, str] = ("CA_CERT_PATH ", "CA_KEY_PATH "),
) -> X509Authority:
    """Read the authority from the files that these settings name. Raises AuthorityUnusable.

    The first certificate may be followed by others that are trusted too, such as that of the
    previous authority. Its validity period is not checked.
    """
    certificate_file, key_file = f"{settings[0]}{certificate_path}", f"{settings[1]}{key_path}"
    try:
        trusted = x509.load_pem_x509_certificates(_read(certificate_file, certificate_path))
    except UNREADABLE:
        raise AuthorityUnusable(
            f"{certificate_file} contains no PEM certificate",
            "it must be the certificate of the CA, such as `manmanv2 ca init` creates",
        ) from None
    own = trusted[0]
    key = _read_key(key_file, key_path)
    if not _can_issue(own):
        raise AuthorityUnusable(
            f"{certificate_file} contains a certificate that cannot issue others",
            "it must be the certificate of a CA, such as `manmanv2 ca init` creates",
        )
    if _spki(own.public_key()) != _spki(key.public_key()):
        raise AuthorityUnusable(
            f"{key_file} is not the key of the first certificate in {certificate_file}",
            "use a matching pair",
        )
    return X509Authority(own, key, trusted)


def _read(file: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuthorityUnusable(
            f"{file} cannot be read ({error.strerror})", "check the file and its permissions"
        ) from None


def _read_key(file: str, path: Path) -> CertificateIssuerPrivateKeyTypes:
    content = _read(file, path)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise AuthorityUnusable(
            f"{file} is encrypted", "store the key without a password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise AuthorityUnusable(
            f"{file} contains no PEM private key",
            "it must be the private key of the CA, such as `manmanv2 ca init` creates",
        ) from None
    if not isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise AuthorityUnusable(
            f"{file} contains a key that is not RSA, EC or Ed25519",
            "create one with `manmanv2 ca init`",
        )
    return key


def _is_from(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if not _can_issue(issuer):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *UNREADABLE):
        return False
    return True


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Copied from the issuer, whose software may compute key identifiers in another way."""
    try:
        own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _general_name(name: str) -> x509.GeneralName:
    """Raises ValueError."""
    try:
        return x509.IPAddress(ip_address(name.strip("[]")))
    except ValueError:
        pass
    # An asterisk stands for the first label.
    labels = name.removeprefix("*.").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(name) > _MAX_DNS_NAME_LENGTH:
        raise ValueError(f"{name!r} is neither a DNS name nor an IP address")
    return x509.DNSName(name)


def _can_issue(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as error:
        # A certificate that restricts its key to nothing may issue.
        return error.oid == x509.KeyUsage.oid
    except UNREADABLE:
        return False


def _public_key(signing_request: bytes) -> PublicKeyTypes:
    """Raises InvalidField."""
    if len(signing_request) > _MAX_REQUEST_BYTES:
        raise InvalidField("signing_request", f"must have at most {_MAX_REQUEST_BYTES} bytes")
    try:
        request = x509.load_der_x509_csr(signing_request)
        key = request.public_key()
        if not _is_strong(key):
            raise InvalidField(
                "signing_request",
                "must be for an EC key on P-256 or P-384, or an RSA key of 2048 to 4096 bits",
            )
        if request.is_signature_valid:
            return key
    except UNREADABLE:
        pass
    raise InvalidField(
        "signing_request", "must be a PKCS #10 request in DER, signed with the key in it"
    )


def _is_strong(key: object) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
