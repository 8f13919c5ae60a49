"""The authority that issues the certificates of the API, of hosts and of operators.

What is made here is made without the API. The library that makes it is loaded by these commands
alone.
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
from entrypoints.cli.views.tables import as_json, iso

if TYPE_CHECKING:
    from adapters.x509.inspection import Description

_CERTIFICATE, _KEY = "ca.crt", "ca.key"
_API_CERTIFICATE, _API_KEY = "tls.crt", "tls.key"
_LONGEST = timedelta(days=100 * 365)


class Lifetime(Duration):
    """As 90d or 10y, at most 100y."""

    name = "lifetime"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        years = re.fullmatch(r"([0-9]{1,3})y", value) if isinstance(value, str) else None
        days = f"{int(years[1]) * 365}d" if years else value
        lifetime = super().convert(days, param, ctx)
        if lifetime > _LONGEST:
            self.fail(f"{value!r} is too long: at most 100y", param, ctx)
        return lifetime


folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the authority's files are; else here.",
)


@click.group()
def ca() -> None:
    """An authority for certificates, without the API: made, used, and looked at."""


@ca.command()
@click.option(
    "--name", default="ManManV2 authority", show_default=True, help="What its certificate is for."
)
@folder_option
@click.option(
    "--lifetime", type=Lifetime(), default="10y", show_default=True, help="After how long it ends."
)
@output_option
def init(name: str, folder: Path, lifetime: timedelta, output: str) -> None:
    """Make an authority: ca.crt, which is no secret, and ca.key, which is one.

    What is there is never overwritten. Whoever has ca.key can make a certificate of any host and
    of any operator.
    """
    from adapters.system.files.atomic_file import make_folder
    from adapters.x509.create_ca import create_ca
    from adapters.x509.inspection import inspect

    certificate_file, key_file = folder / _CERTIFICATE, folder / _KEY
    for file in (certificate_file, key_file):
        if file.exists():
            raise _is_there(file)
    if not name:
        raise Failure("--name: must not be empty", os.EX_DATAERR)
    try:
        certificate, key = create_ca(name, lifetime)
    except ValueError:
        raise Failure("--name: has at most 64 characters", os.EX_DATAERR) from None
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
    click.echo(f"made {certificate_file} and {key_file}")
    click.echo(_told(made))
    click.echo(
        "\n"
        f"On the API set CA_CERT_PATH={certificate_file.absolute()} and\n"
        f"CA_KEY_PATH={key_file.absolute()}, for its user alone to read.\n"
        "Hosts and operators know the API by ca.crt (API_CA_CERT_PATH), hosts also by the digest\n"
        "in a join key (manmanv2 keys create --pin-ca).\n"
        "Next, a certificate for the API: manmanv2 ca issue NAME..."
    )


@ca.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@folder_option
@click.option(
    "--lifetime", type=Lifetime(), default="90d", show_default=True, help="After how long it ends."
)
@output_option
def issue(names: tuple[str, ...], folder: Path, lifetime: timedelta, output: str) -> None:
    """Make a certificate for the API, which is reached under each NAME or IP address.

    tls.crt and tls.key, with a new key, take the place of those that are there, with their owner
    and mode, and an API that runs with them takes them within seconds. The certificate ends with
    the authority's where that ends sooner.
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
            f"{folder / _CERTIFICATE} expired on {authority.expires_at:%Y-%m-%d %H:%M} UTC: make"
            " another authority by `manmanv2 ca init` in another --folder",
            os.EX_UNAVAILABLE,
        ) from None
    except ValueError as error:
        raise Failure(str(error), os.EX_DATAERR) from None
    certificate_file, key_file = folder / _API_CERTIFICATE, folder / _API_KEY
    was_there = certificate_file.exists()
    try:
        # Before the key is replaced: it is of no use without the certificate.
        check_regular(certificate_file)
        replace_atomically(key_file, key, 0o600)
        replace_atomically(certificate_file, certificate, 0o644)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    made = inspect(certificate.encode())[0]
    if output == "json":
        click.echo(as_json(_as_object(made)))
        return
    click.echo(f"made {certificate_file} and {key_file}")
    click.echo(_told(made))
    if was_there:
        click.echo("\nAn API that runs with these files takes them within seconds.")
    else:
        click.echo(
            "\n"
            f"On the API set TLS_CERT_PATH={certificate_file.absolute()} and\n"
            f"TLS_KEY_PATH={key_file.absolute()}, for its user alone to read."
        )


@ca.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default=Path(_CERTIFICATE))
@output_option
def show(file: Path, output: str) -> None:
    """Tell of each certificate in FILE, else in ca.crt: whom it is for, until when, its SHA-256."""
    from adapters.x509.inspection import inspect

    try:
        found = inspect(file.read_bytes())
    except OSError as error:
        raise Failure(f"{file} cannot be read ({error.strerror})", os.EX_NOINPUT) from None
    except ValueError:
        raise Failure(f"{file} holds no PEM certificate", os.EX_DATAERR) from None
    if output == "json":
        click.echo(as_json(list(map(_as_object, found))))
    else:
        click.echo("\n\n".join(map(_told, found)))


def _create(file: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise _is_there(file) from None
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text)


def _cannot_write(folder: Path, error: OSError) -> Failure:
    return Failure(f"--folder: cannot write to {folder} ({error.strerror})", os.EX_CANTCREAT)


def _is_there(file: Path) -> Failure:
    return Failure(
        f"{file} is there already, and is not overwritten: name another --folder, or move it away",
        os.EX_CANTCREAT,
    )


def _told(certificate: "Description") -> str:
    lines = [("subject", certificate.subject), ("issuer", certificate.issuer)]
    lines += [("names", ", ".join(certificate.names))] if certificate.names else []
    lines += [
        ("valid", f"{iso(certificate.valid_from)} to {iso(certificate.expires)}"),
        ("sha256", certificate.digest),
    ]
    return "\n".join(f"{name:<8} {value}" for name, value in lines)


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
