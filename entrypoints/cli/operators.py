"""Keys and certificates of operators."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from domain.errors import OperatorKeyNotFound
from domain.keys import (
    OPERATOR_CERTIFICATE,
    OPERATOR_KINDS,
    check_key_id,
    is_key_id,
    public_id,
)
from domain.operator_key import LOCAL, OperatorKey
from domain.role import Role
from entrypoints.cli.options import Duration, output_option, yes_option
from entrypoints.cli.session import Failure, api, settings_of
from entrypoints.cli.views.output import as_json, confirm, print_lines
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import iso


@click.group()
def operators() -> None:
    """Manage the keys and certificates of operators, and their roles."""


@operators.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="Viewers may read, operators also change the fleet, and admins also manage operators.",
)
@click.option(
    "--expires",
    type=Duration(),
    help="How long it is valid, for example 30d. Default: a key forever, a certificate for 90d.",
)
@click.option(
    "--certificate",
    "file",
    type=click.Path(path_type=Path),
    help="Create a certificate instead of a key, and write it to FILE with its private key.",
    metavar="FILE",
)
@output_option
def create(name: str, role: str, expires: timedelta | None, file: Path | None, output: str) -> None:
    """Create a key for the person or program NAME and print it.

    It cannot be shown again. Standard output contains only the key, which NAME sets as
    OPERATOR_KEY. With --certificate it contains only the certificate's id, and NAME sets
    API_CLIENT_CERT_PATH to FILE. Once the first key or certificate of an admin exists, operators
    need one on the API's own machine too.
    """
    if file:
        made = _create_certificate(name, Role(role), expires or timedelta(0), file)
        answer = {"operator_key": _as_object(made), "file": str(file)}
        kind, result = "certificate", made.key_id
        hint = (
            f"It is in {file} with its private key: set API_CLIENT_CERT_PATH to that file, and"
            " API_ADDRESS to the API's mutual-TLS port."
        )
    else:
        with api() as client:
            made, result = client.create_operator_key(name, Role(role), expires or timedelta(0))
        answer = {"operator_key": _as_object(made), "key": result}
        kind, hint = "key", "It is not shown again: set it as OPERATOR_KEY for this command."
    click.echo(as_json(answer) if output == "json" else result)
    if output == "text":
        until = f", until {iso(made.expires_at)}" if made.expires_at else ""
        print_lines(
            f"created the {kind} {made.key_id} for {made.name} ({made.role}{until})", hint, err=True
        )
    # Only the first admin can have been created without a key.
    if made.role is Role.ADMIN and made.created_by == LOCAL:
        print_lines(
            "From now on operators need a key on the API's own machine too. If all keys of admins"
            " are lost, set OPERATOR_KEY on the API.",
            err=True,
        )


@operators.command("list")
@output_option
def list_operators(output: str) -> None:
    """List keys and certificates of operators, by id.

    The ids of keys begin with ok-, those of certificates with oc-. Secrets are not shown.
    """
    with api() as client:
        keys = list(client.operator_keys())
    if output == "json":
        click.echo(as_json([_as_object(key) for key in keys]))
    else:
        _print_keys(keys, datetime.now(UTC))


@operators.command()
@click.argument("key_ids", metavar="KEY_ID...", nargs=-1, required=True)
@yes_option
@output_option
def revoke(key_ids: tuple[str, ...], yes: bool, output: str) -> None:
    """Revoke keys and certificates by their ids. The next call with one of them is refused."""
    for key_id in key_ids:
        check_key_id(key_id, *OPERATOR_KINDS)
    for_programs = output == "json"
    revoked: list[OperatorKey] = []
    with api() as client:
        if not yes:
            _confirm(list(client.operator_keys()), key_ids, for_programs=for_programs)
        try:
            # The caller's own key last, because no further call is possible after that.
            for key_id in sorted(dict.fromkeys(key_ids), key=_own_key_id().__eq__):
                key = client.revoke_operator_key(key_id)
                revoked.append(key)
                if not for_programs:
                    is_certificate = is_key_id(key.key_id, OPERATOR_CERTIFICATE)
                    kind = "certificate" if is_certificate else "key"
                    print_lines(f"revoked the {kind} {key.key_id} of {key.name} ({key.role})")
        finally:
            # Keys already revoked are reported even if the API refuses a later one.
            if for_programs:
                click.echo(as_json([_as_object(key) for key in revoked]))


def _confirm(keys: Sequence[OperatorKey], key_ids: Iterable[str], *, for_programs: bool) -> None:
    now = datetime.now(UTC)
    missing = set(key_ids) - {key.key_id for key in keys}
    if missing:
        raise Failure(str(OperatorKeyNotFound(min(missing))), os.EX_NOINPUT)
    to_revoke = [key for key in keys if key.key_id in key_ids]
    _print_keys(to_revoke, now, err=for_programs)
    admins = {key.key_id for key in keys if key.role is Role.ADMIN and key.is_valid(now)}
    if admins and admins.issubset(key_ids):
        print_lines(
            "These are the last keys of admins: afterwards only an OPERATOR_KEY set on the API"
            " admits an admin.",
            err=for_programs,
        )
    count = "this key" if len(to_revoke) == 1 else f"these {len(to_revoke)} keys"
    confirm(f"Revoke {count}?", err=for_programs)


def _own_key_id() -> str:
    settings = settings_of(click.get_current_context())
    if settings.operator_key:
        return public_id(settings.operator_key.reveal())
    tls = settings.api.tls
    return tls.client.key_id() if tls and tls.client else ""


def _create_certificate(name: str, role: Role, expires_in: timedelta, file: Path) -> OperatorKey:
    """Raises Failure if the file exists or cannot be written."""
    # Only this call loads the library for certificates.
    from adapters.system.files.regular_file import create_or_open_stream
    from adapters.x509.new_signing_request import new_signing_request

    key, signing_request = new_signing_request()
    try:
        # Before the call, because nobody would have the key of a certificate that cannot be saved.
        descriptor, is_created = create_or_open_stream(file, 0o600)
    except FileExistsError:
        raise Failure(
            f"{file} already exists and is not overwritten: choose another file, or move it away",
            os.EX_CANTCREAT,
        ) from None
    except OSError as error:
        raise Failure(
            f"--certificate: cannot write {file} ({error.strerror})", os.EX_CANTCREAT
        ) from None
    try:
        with os.fdopen(descriptor, "w") as opened, api() as client:
            made, certificate = client.create_operator_certificate(
                name, role, signing_request, expires_in
            )
            if not certificate:
                raise Failure(
                    "the API is older than this command and created the key"
                    f" {made.key_id} instead of a certificate: revoke that key, which nobody has",
                    os.EX_UNAVAILABLE,
                )
            opened.write(certificate + key)
    except BaseException:
        if is_created:
            file.unlink()
        raise
    return made


def _print_keys(keys: Iterable[OperatorKey], now: datetime, *, err: bool = False) -> None:
    columns = (
        Column("KEY"),
        Column("NAME", Fit.CUT),
        Column("ROLE"),
        Column("STATE"),
        Column("EXPIRES", Fit.LEAVE_OUT),
        Column("CREATED", Fit.LEAVE_OUT),
        Column("BY", Fit.LEAVE_OUT),
    )
    rows = [
        (
            key.key_id,
            key.name,
            key.role.value,
            _state(key, now),
            iso(key.expires_at) if key.expires_at else "never",
            iso(key.created_at),
            key.created_by,
        )
        for key in keys
    ]
    print_table(columns, rows, err=err)


def _state(key: OperatorKey, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "valid" if key.is_valid(now) else "expired"


def _as_object(key: OperatorKey) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    return {
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.value,
        "expires_at": iso(key.expires_at) if key.expires_at else None,
        "created_at": iso(key.created_at),
        "created_by": key.created_by,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }
