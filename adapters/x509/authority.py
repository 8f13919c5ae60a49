"""A certificate authority in two files."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from application.ports.certificate_authority import AuthorityExpired
from domain.certificate_life import BACKDATED
from domain.errors import InvalidField

_log = logging.getLogger(__name__)

# Far more than any has that is not meant to keep us busy.
_LARGEST_REQUEST_BYTES = 8 * 1024
_RSA_BITS = range(2048, 4097)
_CURVES = (ec.SECP256R1, ec.SECP384R1)

# What comes of reading what nobody wrote.
_NO_REQUEST = (ValueError, TypeError, UnsupportedAlgorithm)


class AuthorityUnusable(Exception):
    """The message is a sentence that names the setting and says what to do."""


@dataclass(frozen=True)
class X509Authority:
    """Issues by `own`, and trusts all of `trusted`, of which that is one or has its trust from."""

    own: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes = field(repr=False)
    trusted: Sequence[x509.Certificate]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def bundle(self) -> str:
        return "".join(map(_as_pem, self.trusted))

    @property
    def digest(self) -> str:
        return self.own.fingerprint(hashes.SHA256()).hex()

    def check(self, signing_request: bytes) -> None:
        _public_key(signing_request)

    def issue(
        self, signing_request: bytes, spiffe_id: str, common_name: str, lifetime: timedelta
    ) -> str:
        public_key, now = _public_key(signing_request), self.now()
        ends = self.own.not_valid_after_utc
        if ends <= now:
            raise AuthorityExpired(
                f"the certificate in CA_CERT_PATH expired on {ends:%Y-%m-%d %H:%M} UTC: renew it"
                " with `manmanv2 ca init`, and start the API again"
            )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.own.subject)
            .public_key(public_key)  # type: ignore[arg-type]  # checked to be one of a few
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATED)
            .not_valid_after(min(now + lifetime, ends))
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNS_ONLY, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.own.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
            .sign(self.key, signature_hash(self.key))
        )
        _log.info(
            "issued a certificate for %s, serial %x, until %s",
            spiffe_id,
            certificate.serial_number,
            f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
        )
        return _as_pem(certificate)


def read_authority(certificate_path: Path, key_path: Path) -> X509Authority:
    """What the files that CA_CERT_PATH and CA_KEY_PATH name hold. Raises AuthorityUnusable.

    The first certificate there may be followed by others that are trusted, too, as by that of the
    authority before. Its time is not looked at.
    """
    try:
        trusted = x509.load_pem_x509_certificates(_read("CA_CERT_PATH", certificate_path))
    except ValueError:
        raise AuthorityUnusable(
            f"CA_CERT_PATH {certificate_path} holds no PEM certificate: set it to the file of the"
            " authority's certificate, which `manmanv2 ca init` makes."
        ) from None
    own = trusted[0]
    key = _read_key(key_path)
    if not _may_issue(own):
        raise AuthorityUnusable(
            f"CA_CERT_PATH {certificate_path} holds a certificate that may not issue others: set it"
            " to that of an authority, which `manmanv2 ca init` makes."
        )
    if _spki(own.public_key()) != _spki(key.public_key()):
        raise AuthorityUnusable(
            f"CA_KEY_PATH {key_path} is not the key of the first certificate in CA_CERT_PATH"
            f" {certificate_path}: put those there that belong together."
        )
    return X509Authority(own, key, trusted)


def signature_hash(key: CertificateIssuerPrivateKeyTypes) -> hashes.SHA256 | None:
    """What to sign with a key by; none for one that brings its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AuthorityUnusable(
            f"{setting} {path} cannot be read ({error.strerror}): mend it or its permissions."
        ) from None


def _read_key(path: Path) -> CertificateIssuerPrivateKeyTypes:
    content = _read("CA_KEY_PATH", path)
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        raise AuthorityUnusable(
            f"CA_KEY_PATH {path} is encrypted: write the key into it without a password."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise AuthorityUnusable(
            f"CA_KEY_PATH {path} holds no PEM private key: set it to the file of the authority's"
            " key, which `manmanv2 ca init` makes."
        ) from None
    if not isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    ):
        raise AuthorityUnusable(
            f"CA_KEY_PATH {path} holds a key of another kind than RSA, EC or Ed25519: have"
            " `manmanv2 ca init` make one."
        )
    return key


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as error:
        # A certificate that restricts its key to nothing may issue.
        return error.oid == x509.KeyUsage.oid
    except ValueError:
        return False


def _public_key(signing_request: bytes) -> PublicKeyTypes:
    """Raises InvalidField."""
    if len(signing_request) > _LARGEST_REQUEST_BYTES:
        raise InvalidField("signing_request", f"must have at most {_LARGEST_REQUEST_BYTES} bytes")
    try:
        request = x509.load_der_x509_csr(signing_request)
        key = request.public_key()
        if not _is_trustworthy(key):
            raise InvalidField(
                "signing_request",
                "must be of an EC key on P-256 or P-384, or of an RSA key of 2048 to 4096 bits",
            )
        if request.is_signature_valid:
            return key
    except _NO_REQUEST:
        pass
    raise InvalidField(
        "signing_request", "must be a PKCS #10 request in DER, signed by the key that is in it"
    )


def _is_trustworthy(key: object) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, _CURVES)
    return isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _as_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


_SIGNS_ONLY = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
