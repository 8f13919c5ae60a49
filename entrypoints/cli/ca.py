"""The certificate authority (CA) that issues certificates to the API, hosts and operators.

These commands work on files and need no API. They alone load the cryptography library.
"""

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrypoints.cli.options import Duration, output_option
from entrypoints.cli.session import Failure
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.times import iso

if TYPE_CHECKING:
    from adapters.x509.inspection import Description

_CERTIFICATE, _KEY = "ca.crt", "ca.key"
_API_CERTIFICATE, _API_KEY = "tls.crt", "tls.key"
_MAX_LIFETIME = timedelta(days=100 * 365)


class Lifetime(Duration):
    """A duration in which y means 365 days, for example 90d or 10y; at most 100y."""

    name = "lifetime"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        years = re.fullmatch(r"([0-9]{1,3})y", value) if isinstance(value, str) else None
        days = f"{int(years[1]) * 365}d" if years else value
        lifetime = super().convert(days, param, ctx)
        if lifetime > _MAX_LIFETIME:
            self.fail(f"{value!r} is too long; the maximum is 100y", param, ctx)
        return lifetime


folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Directory of ca.crt and ca.key. Default: the current directory.",
)


@click.group()
def ca() -> None:
    """Create and use a certificate authority (CA), without the API."""


@ca.command()
@click.option(
    "--name",
    default="ManManV2 authority",
    show_default=True,
    help="Common name of the CA's certificate.",
)
@folder_option
@click.option(
    "--lifetime",
    type=Lifetime(),
    default="10y",
    show_default=True,
    help="How long the CA's certificate is valid.",
)
@output_option
def init(name: str, folder: Path, lifetime: timedelta, output: str) -> None:
    """Create a CA: its certificate ca.crt and private key ca.key.

    Existing files are never overwritten. ca.crt is public. Keep ca.key secret: anybody who has it
    can issue a certificate for any host and any operator.
    """
    from adapters.system.files.atomic_file import make_folder
    from adapters.x509.create_ca import create_ca
    from adapters.x509.inspection import inspect

    certificate_file, key_file = folder / _CERTIFICATE, folder / _KEY
    for file in (certificate_file, key_file):
        if file.exists():
            raise _already_exists(file)
    if not name:
        raise Failure("--name must not be empty", os.EX_DATAERR)
    try:
        certificate, key = create_ca(name, lifetime)
    except ValueError:
        raise Failure("--name must have at most 64 characters", os.EX_DATAERR) from None
    try:
        make_folder(folder)
        _create(key_file, key, 0o600)
        _create(certificate_file, certificate, 0o644)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    (made,) = inspect(certificate.encode())
    if output == "json":
        click.echo(as_json(_as_object(made)))
        return
    print_lines(f"created {certificate_file} and {key_file}", *_details(made))
    print_lines(
        "",
        f"On the API, set CA_CERT_PATH={certificate_file.absolute()}",
        f"and CA_KEY_PATH={key_file.absolute()}, readable by the API's user only.",
        "Hosts and operators verify the API with ca.crt (API_CA_CERT_PATH). A host can instead use",
        "the CA's digest in its join key (manmanv2 keys create --pin-ca).",
        "Next, issue a certificate for the API: manmanv2 ca issue NAME...",
    )


@ca.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@folder_option
@click.option(
    "--lifetime",
    type=Lifetime(),
    default="90d",
    show_default=True,
    help="How long the certificate is valid.",
)
@output_option
def issue(names: tuple[str, ...], folder: Path, lifetime: timedelta, output: str) -> None:
    """Issue a certificate for the API.

    It is valid for each NAME, which is a DNS name or an IP address. The command writes tls.crt and
    tls.key, with a new private key. Existing files are replaced and keep their owner and mode; a
    running API picks up the new ones within seconds. The certificate never outlives the CA's own.
    """
    from adapters.system.files.atomic_file import replace_atomically
    from adapters.system.files.regular_file import check_regular
    from adapters.x509.authority import AuthorityUnusable, read_authority
    from adapters.x509.inspection import inspect
    from application.ports.certificate_authority import AuthorityExpired

    try:
        authority = read_authority(folder / _CERTIFICATE, folder / _KEY, ("", ""))
    except AuthorityUnusable as error:
        raise Failure(str(error).rstrip("."), os.EX_CONFIG) from None
    try:
        certificate, key = authority.issue_to_api(names, lifetime)
    except AuthorityExpired:
        raise Failure(
            f"{folder / _CERTIFICATE} expired on {authority.expires_at:%Y-%m-%d %H:%M} UTC: create"
            " a new CA with `manmanv2 ca init` in another --folder",
            os.EX_UNAVAILABLE,
        ) from None
    except ValueError as error:
        raise Failure(str(error), os.EX_DATAERR) from None
    certificate_file, key_file = folder / _API_CERTIFICATE, folder / _API_KEY
    replaced = certificate_file.exists()
    try:
        # Before the key is replaced, because it is useless without the certificate.
        check_regular(certificate_file)
        replace_atomically(key_file, key, 0o600)
        replace_atomically(certificate_file, certificate, 0o644)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    made = inspect(certificate.encode())[0]
    if output == "json":
        click.echo(as_json(_as_object(made)))
        return
    print_lines(f"created {certificate_file} and {key_file}", *_details(made))
    if replaced:
        print_lines("", "An API that runs with these files picks them up within seconds.")
    else:
        print_lines(
            "",
            f"On the API, set TLS_CERT_PATH={certificate_file.absolute()}",
            f"and TLS_KEY_PATH={key_file.absolute()}, readable by the API's user only.",
        )


@ca.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path(_CERTIFICATE))
@output_option
def show(file: Path, output: str) -> None:
    """Show the certificates in a file.

    For each certificate in FILE, by default ca.crt, it shows the subject, names, validity and
    SHA-256 digest.
    """
    from adapters.x509.inspection import inspect

    try:
        certificates = inspect(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} cannot be read ({error.strerror})", os.EX_NOINPUT) from None
    except ValueError:
        raise Failure(f"{file} does not contain a PEM certificate", os.EX_DATAERR) from None
    if output == "json":
        click.echo(as_json(list(map(_as_object, certificates))))
    else:
        for place, certificate in enumerate(certificates):
            print_lines(*([""] if place else []), *_details(certificate))


def _create(file: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _already_exists(file) from None
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)


def _cannot_write(folder: Path, error: OSError) -> Failure:
    return Failure(f"--folder: cannot write to {folder} ({error.strerror})", os.EX_CANTCREAT)


def _already_exists(file: Path) -> Failure:
    return Failure(
        f"{file} already exists and is not overwritten: choose another --folder, or move it away",
        os.EX_CANTCREAT,
    )


def _details(certificate: "Description") -> list[str]:
    lines = [("subject", certificate.subject), ("issuer", certificate.issuer)]
    lines += [("names", ", ".join(certificate.names))] if certificate.names else []
    lines += [
        ("valid", f"{iso(certificate.valid_from)} to {iso(certificate.expires)}"),
        ("sha256", certificate.digest),
    ]
    return [f"{name:<8} {value}" for name, value in lines]


def _as_object(certificate: "Description") -> dict[str, Any]:
    names: Sequence[str] = certificate.names
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(names),
        "valid_from": iso(certificate.valid_from),
        "expires_at": iso(certificate.expires),
        "sha256": certificate.digest,
    }
