"""The keys by which operators are known."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from domain.keys import OPERATOR_KEY, check_key_id, public_id
from domain.operator_key import LOCAL, OperatorKey
from domain.role import Role
from entrypoints.cli.options import Duration, output_option
from entrypoints.cli.output import as_json, iso, table
from entrypoints.cli.session import Failure, api
from entrypoints.cli.settings import CliSettings


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
    "--expires", type=Duration(), help="After how long it is of no use, as 30d; else never."
)
@output_option
def create(name: str, role: str, expires: timedelta | None, output: str) -> None:
    """Make a key for the person or the program NAME, and print it this once.

    It alone is on standard output, and is what NAME sets as OPERATOR_KEY. With the first key of
    an admin operators need a key on the API's own machine, too.
    """
    with api() as client:
        made, key = client.create_operator_key(name, Role(role), expires or timedelta(0))
    answer = {"operator_key": _as_object(made), "key": key}
    click.echo(as_json(answer) if output == "json" else key)
    if output == "text":
        until = f", until {iso(made.expires_at)}" if made.expires_at else ""
        click.echo(f"made the key {made.key_id} of {made.name} ({made.role}{until})", err=True)
        click.echo("It is shown this once: set it as OPERATOR_KEY of the command.", err=True)
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
    """List the keys of operators, by id, without their secrets."""
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
    """Revoke keys, by their ids: the next call with one of them is refused."""
    for key_id in key_ids:
        check_key_id(key_id, OPERATOR_KEY)
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
                    click.echo(f"revoked the key {key.key_id} of {key.name} ({key.role})")
        finally:
            # What is revoked is told when the API refuses a later one, too.
            if for_programs:
                click.echo(as_json([_as_object(key) for key in revoked]))


def _ask(keys: Sequence[OperatorKey], key_ids: Iterable[str], *, for_programs: bool) -> None:
    now = datetime.now(UTC)
    missing = set(key_ids) - {key.key_id for key in keys}
    if missing:
        raise Failure(f"there is no operator's key {min(missing)}", os.EX_NOINPUT)
    doomed = [key for key in keys if key.key_id in key_ids]
    click.echo(_key_table(doomed, now), err=for_programs)
    admins = {key.key_id for key in keys if key.role is Role.ADMIN and key.is_valid(now)}
    if admins and admins.issubset(key_ids):
        click.echo(
            "No key of an admin is left then: only an OPERATOR_KEY that is set on the API lets an"
            " admin in.",
            err=for_programs,
        )
    count = "this key" if len(doomed) == 1 else f"these {len(doomed)} keys"
    click.confirm(f"Revoke {count}?", abort=True, err=for_programs)


def _own_key_id() -> str:
    own = CliSettings.load().operator_key
    return public_id(own.reveal()) if own else ""


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
