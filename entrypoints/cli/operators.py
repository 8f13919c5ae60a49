"""The keys by which operators are known."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from domain.keys import (
    OPERATOR_CERTIFICATE,
    OPERATOR_KINDS,
    check_key_id,
    is_key_id,
    public_id,
)
from domain.operator_key import LOCAL, OperatorKey
from domain.role import Role
from entrypoints.cli.options import Duration, output_option
from entrypoints.cli.session import Failure, api, settings_of
from entrypoints.cli.views.tables import as_json, iso, table


@click.group()
def operators() -> None:
    """Who may make operators' calls, and with which role."""


@operators.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What it may do: look, change the fleet, or make keys of operators, too.",
)
@click.option(
    "--expires",
    type=Duration(),
    help="After how long it is of no use, as 30d; else never, a certificate after 90d.",
)
@click.option(
    "--certificate",
    "file",
    type=click.Path(path_type=Path),
    help="Instead of a key, have a certificate issued, and write it to FILE with its new key.",
    metavar="FILE",
)
@output_option
def create(name: str, role: str, expires: timedelta | None, file: Path | None, output: str) -> None:
    """Make a key for the person or the program NAME, and print it this once.

    It alone is on standard output, and is what NAME sets as OPERATOR_KEY. Of a certificate it is
    the id, and FILE is what NAME sets as API_CLIENT_CERT_PATH. With the first key or certificate of
    an admin operators need one on the API's own machine, too.
    """
    if file:
        made = _create_certificate(name, Role(role), expires or timedelta(0), file)
        answer = {"operator_key": _as_object(made), "file": str(file)}
        kind, shown = "certificate", made.key_id
        hint = (
            f"It is in {file}, with its key: set API_CLIENT_CERT_PATH to it, and API_ADDRESS to the"
            " API's port for certificates."
        )
    else:
        with api() as client:
            made, shown = client.create_operator_key(name, Role(role), expires or timedelta(0))
        answer = {"operator_key": _as_object(made), "key": shown}
        kind, hint = "key", "It is shown this once: set it as OPERATOR_KEY of the command."
    click.echo(as_json(answer) if output == "json" else shown)
    if output == "text":
        until = f", until {iso(made.expires_at)}" if made.expires_at else ""
        click.echo(f"made the {kind} {made.key_id} of {made.name} ({made.role}{until})", err=True)
        click.echo(hint, err=True)
    # Nobody else was let in without a key.
    if made.role is Role.ADMIN and made.created_by == LOCAL:
        click.echo(
            "From now on every operators' call needs a key, also on the API's machine. Should all"
            " keys of admins be lost, set OPERATOR_KEY on the API.",
            err=True,
        )


@operators.command("list")
@output_option
def list_operators(output: str) -> None:
    """List the keys of operators, by id, without their secrets; those of certificates begin with
    oc-.
    """
    with api() as client:
        found = list(client.operator_keys())
    if output == "json":
        click.echo(as_json([_as_object(key) for key in found]))
    else:
        click.echo(_key_table(found, datetime.now(UTC)))


@operators.command()
@click.argument("key_ids", metavar="KEY_ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def revoke(key_ids: tuple[str, ...], yes: bool, output: str) -> None:
    """Revoke keys and certificates, by their ids: the next call with one of them is refused."""
    for key_id in key_ids:
        check_key_id(key_id, *OPERATOR_KINDS)
    for_programs = output == "json"
    revoked: list[OperatorKey] = []
    with api() as client:
        if not yes:
            _ask(list(client.operator_keys()), key_ids, for_programs=for_programs)
        try:
            # The caller's own last: it is of no use from then on.
            for key_id in sorted(dict.fromkeys(key_ids), key=_own_key_id().__eq__):
                key = client.revoke_operator_key(key_id)
                revoked.append(key)
                if not for_programs:
                    is_certificate = is_key_id(key.key_id, OPERATOR_CERTIFICATE)
                    kind = "certificate" if is_certificate else "key"
                    click.echo(f"revoked the {kind} {key.key_id} of {key.name} ({key.role})")
        finally:
            # What is revoked is told when the API refuses a later one, too.
            if for_programs:
                click.echo(as_json([_as_object(key) for key in revoked]))


def _ask(keys: Sequence[OperatorKey], key_ids: Iterable[str], *, for_programs: bool) -> None:
    now = datetime.now(UTC)
    missing = set(key_ids) - {key.key_id for key in keys}
    if missing:
        raise Failure(f"operator key {min(missing)} does not exist", os.EX_NOINPUT)
    to_revoke = [key for key in keys if key.key_id in key_ids]
    click.echo(_key_table(to_revoke, now), err=for_programs)
    admins = {key.key_id for key in keys if key.role is Role.ADMIN and key.is_valid(now)}
    if admins and admins.issubset(key_ids):
        click.echo(
            "No key of an admin is left then: only an OPERATOR_KEY that is set on the API lets an"
            " admin in.",
            err=for_programs,
        )
    count = "this key" if len(to_revoke) == 1 else f"these {len(to_revoke)} keys"
    click.confirm(f"Revoke {count}?", abort=True, err=for_programs)


def _own_key_id() -> str:
    settings = settings_of(click.get_current_context())
    if settings.operator_key:
        return public_id(settings.operator_key.reveal())
    tls = settings.api.tls
    return tls.client.key_id() if tls and tls.client else ""


def _create_certificate(name: str, role: Role, expires_in: timedelta, file: Path) -> OperatorKey:
    """Raises Failure for a file that is there."""
    # Only this loads the library for certificates.
    from adapters.system.files.regular_file import create_or_open_stream
    from adapters.x509.new_signing_request import new_signing_request

    key, signing_request = new_signing_request()
    try:
        # First: of a certificate that cannot be kept nobody would have the key.
        descriptor, is_created = create_or_open_stream(file, 0o600)
    except FileExistsError:
        raise Failure(
            f"{file} is there already, and is not overwritten: name another, or move it away",
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
                    f"the API is older than this command and issued no certificate: revoke"
                    f" {made.key_id}, the key that it made instead and nobody has",
                    os.EX_UNAVAILABLE,
                )
            opened.write(certificate + key)
    except BaseException:
        if is_created:
            file.unlink()
        raise
    return made


def _key_table(keys: Iterable[OperatorKey], now: datetime) -> str:
    columns = ("KEY", "NAME", "ROLE", "STATE", "EXPIRES", "CREATED", "BY")
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
    return table(columns, rows)


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
