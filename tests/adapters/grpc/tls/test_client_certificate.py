"""How `manmanv2` reads the files of an operator's certificate."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding
from cryptography.hazmat.primitives.serialization import PrivateFormat as Format

from adapters.grpc.tls.client_certificate import ClientCertificate, ClientCertificateUnusable
from adapters.x509.certificates import key_as_pem, new_key
from tests.support.canary_secrets import canary
from tests.support.certified import SERVER, PresentedCertificate, Site

ANN = "spiffe://manmanv2/operator/oc-aaaaaaaaaa"
MADE = "set it to the file that `manmanv2 operators create --certificate` created"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "ann.pem", tmp_path / "ann.key"


def write(files: tuple[Path, Path], presented: PresentedCertificate) -> ClientCertificate:
    files[0].write_text(presented.certificate)
    files[1].write_text(presented.key)
    return ClientCertificate(*files)


def test_a_certificate_and_its_key_can_be_in_one_file_or_two(
    site: Site, files: tuple[Path, Path]
) -> None:
    presented = site.gives([ANN])
    two = write(files, presented)
    one = ClientCertificate(presented.write(files[0]), files[0])

    assert ClientCertificate(files[0], files[1]).key_id() == one.key_id() == "oc-aaaaaaaaaa"
    assert one.read() == (files[0].read_bytes(), files[0].read_bytes())
    assert two.facts().issuer == "Our CA"


@pytest.mark.parametrize("uris", [[], ["spiffe://manmanv2/server/1"]])
def test_only_an_operators_certificate_has_a_key_id(
    site: Site, files: tuple[Path, Path], uris: list[str]
) -> None:
    assert write(files, site.gives(uris)).key_id() == ""


def test_an_expired_certificate_can_be_read(site: Site, files: tuple[Path, Path]) -> None:
    # The API decides by its own clock whether it has expired.
    expired = write(files, site.gives([ANN], expired=True))

    assert expired.key_id() == "oc-aaaaaaaaaa"


def encrypted(files: tuple[Path, Path]) -> None:
    password = BestAvailableEncryption(canary("password of a key").encode())
    files[1].write_bytes(new_key().private_bytes(Encoding.PEM, Format.PKCS8, password))


NO_KEY = (
    "{0} cannot be used with {1}, which holds no PEM private key, or an encrypted one: set"
    " API_CLIENT_KEY_PATH to the certificate's key, or unset it if one file holds both"
)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda files: files[0].unlink(),
            "{0} cannot be read (No such file or directory): check the file and its permissions",
        ),
        (
            lambda files: files[1].unlink(),
            "{1} cannot be read (No such file or directory): check the file and its permissions",
        ),
        (lambda files: files[0].write_text("no"), f"{{0}} holds no PEM certificate: {MADE}"),
        (
            lambda files: files[1].write_text(key_as_pem(new_key())),
            "{0} does not belong to the key in {1}: set files that belong together",
        ),
        (lambda files: files[1].write_text("no"), NO_KEY),
        (encrypted, NO_KEY),
        (
            lambda files: files[0].write_text(
                files[0].read_text()[:100] + "AAAA" + files[0].read_text()[104:]
            ),
            NO_KEY,
        ),
    ],
)
def test_each_problem_of_a_certificate_is_one_sentence(
    site: Site,
    files: tuple[Path, Path],
    spoil: Callable[[tuple[Path, Path]], object],
    sentence: str,
) -> None:
    certificate = write(files, site.gives([ANN]))
    spoil(files)
    for act in (certificate.read, certificate.facts, certificate.key_id):
        with pytest.raises(ClientCertificateUnusable) as caught:
            act()
        assert str(caught.value) == sentence.format(*files)


def test_a_certificate_for_servers_only_is_unsuitable(site: Site, files: tuple[Path, Path]) -> None:
    with pytest.raises(ClientCertificateUnusable) as caught:
        write(files, site.gives([ANN], use=SERVER)).read()

    assert str(caught.value) == (
        f"{files[0]} holds a certificate that is unsuitable for a client: {MADE}"
    )
