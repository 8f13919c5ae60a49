"""A certificate authority in two files: the certificates that it issues, and its errors."""

import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from adapters.x509.authority import AuthorityUnusable, X509Authority, read_authority
from adapters.x509.certificates import as_pem, new_key
from adapters.x509.create_ca import create_ca
from adapters.x509.new_signing_request import new_signing_request
from application.ports.certificate_authority import AuthorityExpired
from domain.errors import InvalidField
from tests.support.canary_secrets import canary
from tests.support.certified import A_DAY, CLIENT, SERVER, Site

SPIFFE_ID = "spiffe://manmanv2/server/7"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@cache
def authority() -> X509Authority:
    certificate, key = create_ca("Our CA", 10 * 365 * A_DAY)
    return of_pem(certificate, key)


def of_pem(certificate: str, key: str) -> X509Authority:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    trusted = x509.load_pem_x509_certificates(certificate.encode())
    return X509Authority(trusted[0], load_pem_private_key(key.encode(), None), trusted)  # type: ignore[arg-type]


def issued(by: X509Authority, request: bytes | None = None) -> x509.Certificate:
    pem = by.issue(request or new_signing_request()[1], SPIFFE_ID, "server-7", A_DAY)
    return x509.load_pem_x509_certificate(pem.encode())


# Issued certificates


def test_a_new_authority_can_issue_to_servers_and_clients_but_not_to_authorities() -> None:
    own = authority().own
    basics = own.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = own.extensions.get_extension_for_class(x509.KeyUsage)

    assert (basics.critical, basics.value.ca, basics.value.path_length) == (True, True, 0)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert isinstance(own.public_key(), ec.EllipticCurvePublicKey)
    own.verify_directly_issued_by(own)


@pytest.mark.parametrize("use", [CLIENT, SERVER])
def test_a_certificate_is_for_one_use_and_tolerates_slow_clocks(
    use: x509.ObjectIdentifier,
) -> None:
    if use is CLIENT:
        certificate = issued(authority())
    else:
        pem, _ = authority().issue_to_api(["api.example.com", "10.0.0.1", "::1"], A_DAY)
        certificate = x509.load_pem_x509_certificate(pem.encode())
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    now = datetime.now(UTC)

    certificate.verify_directly_issued_by(authority().own)
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [use]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ([SPIFFE_ID] if use is CLIENT else [])
    if use is SERVER:
        assert names.get_values_for_type(x509.DNSName) == ["api.example.com"]
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    assert certificate.not_valid_before_utc <= now - timedelta(minutes=4)
    assert now + A_DAY * 0.9 < certificate.not_valid_after_utc <= now + A_DAY


def test_no_certificate_outlives_its_authority() -> None:
    by = of_pem(*create_ca("short", A_DAY))
    pem, _ = by.issue_to_api(["x"], 90 * A_DAY)
    client = x509.load_pem_x509_certificate(
        by.issue(new_signing_request()[1], SPIFFE_ID, "server-7", 90 * A_DAY).encode()
    )

    assert x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc == by.expires_at
    assert client.not_valid_after_utc == by.expires_at


def test_an_expired_authority_issues_nothing_and_says_what_to_do() -> None:
    by = replace(authority(), now=lambda: authority().expires_at)
    for issue in (lambda: issued(by), lambda: by.issue_to_api(["x"], A_DAY)):
        with pytest.raises(AuthorityExpired) as caught:
            issue()
        assert str(caught.value) == (
            f"the certificate in CA_CERT_PATH expired on {by.expires_at:%Y-%m-%d %H:%M} UTC: make"
            " another with `manmanv2 ca init`, and start the API again with it"
        )


@pytest.mark.parametrize("name", ["", "a b", "-a", "a.", "a..b", "*", "a.*", "é", "x" * 64, "a/b"])
def test_an_invalid_name_of_an_api_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is neither a DNS name nor an IP address"):
        authority().issue_to_api(["localhost", name], A_DAY)


def test_the_key_identifier_is_copied_from_the_authority() -> None:
    key = new_key()
    identifier = x509.SubjectKeyIdentifier(b"computed in another way")
    own = (
        x509.CertificateBuilder()
        .subject_name(authority().own.subject)
        .issuer_name(authority().own.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + A_DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    extensions = issued(X509Authority(own, key, [own])).extensions

    authority_key = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority_key.key_identifier == identifier.digest


# The issuer of a certificate


def own_of(ca: trustme.CA) -> X509Authority:
    return of_pem(ca.cert_pem.bytes().decode(), ca.private_key_pem.bytes().decode())


def test_a_chain_is_issued_by_its_intermediate_and_by_its_root() -> None:
    root, stranger = trustme.CA(), trustme.CA()
    between = root.create_child_ca()
    leaf = between.issue_cert("x")
    pems = [pem.bytes() for pem in leaf.cert_chain_pems]
    assert len(pems) == 2

    assert own_of(root).has_issued(b"".join(pems))
    assert own_of(between).has_issued(b"".join(pems))
    # Without the intermediate certificate its issuer is unknown.
    assert not own_of(root).has_issued(pems[0])
    assert not own_of(stranger).has_issued(b"".join(pems))
    assert not own_of(root).has_issued(b"")
    assert not own_of(root).has_issued(
        b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"
    )


def test_a_certificate_from_an_authority_of_the_same_name_with_another_key_is_foreign() -> None:
    twin = of_pem(*create_ca("Our CA", A_DAY))
    pem, _ = twin.issue_to_api(["x"], A_DAY)

    assert twin.has_issued(pem.encode())
    assert not authority().has_issued(pem.encode())


def test_a_leaf_certificate_cannot_issue() -> None:
    root = trustme.CA()
    leaf = root.issue_cert("x")
    leaf_pem = leaf.cert_chain_pems[0].bytes()
    by_leaf = of_pem(leaf_pem.decode(), leaf.private_key_pem.bytes().decode())
    pem, _ = by_leaf.issue_to_api(["y"], A_DAY)

    assert not own_of(root).has_issued(pem.encode() + leaf_pem)


# Signing requests


def request_of(key: object) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def of_another_version(request: bytes) -> bytes:
    """The library reports it by an error of its own, as for a certificate."""
    return request.replace(b"\x02\x01\x00", b"\x02\x01\x07", 1)


def signed_by_another() -> bytes:
    der = bytearray(new_signing_request()[1])
    # Within the signature.
    der[-5] ^= 1
    return bytes(der)


@pytest.mark.parametrize(
    ("make_request", "problem"),
    [
        (lambda: request_of(rsa.generate_private_key(65537, 1024)), "must be for an EC key on"),
        (lambda: request_of(ec.generate_private_key(ec.SECP521R1())), "must be for an EC key on"),
        (lambda: request_of(ec.generate_private_key(ec.SECP256K1())), "must be for an EC key on"),
        (lambda: request_of(ed25519.Ed25519PrivateKey.generate()), "must be for an EC key on"),
        (lambda: request_of(dsa.generate_private_key(2048)), "must be for an EC key on"),
        (signed_by_another, "must be a PKCS #10 request in DER, signed with"),
        (lambda: of_another_version(new_signing_request()[1]), "must be a PKCS #10 request"),
        (lambda: b"", "must be a PKCS #10 request in DER"),
        (lambda: new_signing_request()[1] + b"\0", "must be a PKCS #10 request in DER"),
        (lambda: new_signing_request()[1] + bytes(8192), "must have at most 8192 bytes"),
        (lambda: as_pem(authority().own).encode(), "must be a PKCS #10 request in DER"),
    ],
)
def test_an_invalid_request_or_one_for_a_weak_key_is_refused(
    make_request: Callable[[], bytes], problem: str
) -> None:
    request = make_request()
    for act in (
        lambda: authority().check(request),
        lambda: authority().issue(request, SPIFFE_ID, "server-7", A_DAY),
    ):
        with pytest.raises(InvalidField) as caught:
            act()
        assert caught.value.field == "signing_request"
        assert caught.value.problem.startswith(problem)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-256", "P-384", "RSA"],
)
def test_strong_keys_are_accepted(key: ec.EllipticCurvePrivateKey) -> None:
    assert issued(authority(), request_of(key)).public_key() == key.public_key()


GOOD = new_signing_request()[1]


def is_accepted(request: bytes) -> bool:
    try:
        authority().check(request)
    except InvalidField:
        return False
    return True


@given(st.binary(max_size=300))
def test_no_other_bytes_are_a_request(request: bytes) -> None:
    assert not is_accepted(request)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255), st.integers(0, 3))
def test_a_modified_request_is_refused_or_still_for_the_key_that_signed_it(
    place: int, change: int, cut: int
) -> None:
    modified = bytearray(GOOD)
    modified[place] ^= change
    request = bytes(modified[: len(modified) - cut])
    if is_accepted(request):
        key = x509.load_der_x509_csr(GOOD).public_key()

        assert issued(authority(), request).public_key() == key


def test_the_name_and_extensions_of_a_request_are_ignored() -> None:
    key = new_key()
    extensions = [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://manmanv2/server/1")]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectKeyIdentifier(b"of another"),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"whatever"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.example.com")])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    extended = issued(authority(), builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
    plain = issued(authority(), request_of(key))

    assert list(extended.extensions) == list(plain.extensions)
    assert extended.subject == plain.subject


# The files


def unreadable(file: Path) -> None:
    # Root can read every file, but nobody can read a directory as a file.
    file.unlink()
    file.mkdir()


def encrypted(file: Path) -> None:
    password = BestAvailableEncryption(canary("password of a key").encode())
    file.write_bytes(new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))


def write_of_no_version(file: Path) -> None:
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    versioned = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    assert versioned != der
    file.write_text(ssl.DER_cert_to_PEM_cert(versioned))


def write_key(file: Path, key: object) -> None:
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # type: ignore[attr-defined]


WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "ca.crt",
        Path.unlink,
        "CA_CERT_PATH {} cannot be read (No such file or directory): check the",
    ),
    ("ca.key", Path.unlink, "CA_KEY_PATH {} cannot be read (No such file or directory): check the"),
    ("ca.crt", unreadable, "CA_CERT_PATH {} cannot be read (Is a directory): check the file"),
    ("ca.key", unreadable, "CA_KEY_PATH {} cannot be read (Is a directory): check the file"),
    ("ca.crt", lambda file: file.write_text("no"), "CA_CERT_PATH {} contains no PEM certificate"),
    ("ca.key", lambda file: file.write_text("no"), "CA_KEY_PATH {} contains no PEM private key"),
    ("ca.crt", write_of_no_version, "CA_CERT_PATH {} contains no PEM certificate"),
    ("ca.crt", lambda file: file.write_bytes(b""), "CA_CERT_PATH {} contains no PEM certificate"),
    ("ca.key", encrypted, "CA_KEY_PATH {} is encrypted: store the key without a password"),
    ("ca.key", lambda file: write_key(file, new_key()), "CA_KEY_PATH {} is not the key of the"),
    (
        "ca.key",
        lambda file: write_key(file, dsa.generate_private_key(2048)),
        "CA_KEY_PATH {} contains a key that is not RSA, EC or Ed25519: create one",
    ),
    (
        "ca.crt",
        lambda file: file.write_bytes(file.with_name("tls.crt").read_bytes()),
        "CA_CERT_PATH {} contains a certificate that cannot issue others: it must be the",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "sentence"), WRONG)
def test_the_error_of_an_unusable_file_is_one_sentence_that_names_the_setting(
    site: Site, name: str, spoil: Callable[[Path], object], sentence: str
) -> None:
    file = site.ca_file.with_name(name)
    spoil(file)
    with pytest.raises(AuthorityUnusable) as caught:
        read_authority(site.ca_file, site.ca_key)

    message = str(caught.value)
    assert message.startswith(sentence.format(file))
    assert message.endswith(".")
    assert "\n" not in message
    assert ": " in message


def test_the_certificate_of_the_previous_authority_is_trusted_after_the_current_one(
    site: Site,
) -> None:
    previous = as_pem(authority().own)
    site.ca_file.write_text(site.ca_file.read_text() + previous)
    current = site.authority

    assert current.bundle == site.ca_file.read_text()
    assert current.digest == current.own.fingerprint(hashes.SHA256()).hex()
    assert current.own != authority().own


def test_the_repr_does_not_contain_the_key(site: Site) -> None:
    assert canary("key of the authority") in site.ca_key.read_text()

    assert "PRIVATE" not in repr(site.authority)
    assert os.linesep not in repr(site.authority.key)
