"""The keys by which hosts join."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.store.access.join_keys import JoinKeyUse
from domain.join_key import NewJoinKey
from domain.keys import JOIN_KEY, check_key_id
from entrypoints.cli.options import Duration, output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import ago, as_json, iso, table


@click.group()
def keys() -> None:
    """Keys by which hosts join, and which servers joined with them."""


@keys.command()
@click.option(
    "--environment", default="", help="Only hosts of it, and those that name none are of it then."
)
@click.option(
    "--name",
    "name_pattern",
    default="",
    metavar="PATTERN",
    help="Only hosts with such names, as 'game-*'; ? is any one character.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set it, as an operator's label, on each server that joins; may be repeated.",
)
@click.option(
    "--uses", type=click.IntRange(min=1), help="How many servers may join with it; else any number."
)
@click.option(
    "--expires", type=Duration(), help="After how long no further server joins, as 24h; else never."
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="Servers that join are deleted once they are offline for long.",
)
@click.option(
    "--pre-approved", is_flag=True, help="Servers that join do not wait for an operator's approval."
)
@click.option(
    "--pin-ca",
    is_flag=True,
    help="The key also says by which authority hosts know the API: they need no API_CA_CERT_PATH.",
)
@output_option
def create(
    environment: str,
    name_pattern: str,
    labels: tuple[str, ...],
    uses: int | None,
    expires: timedelta | None,
    ephemeral: bool,
    pre_approved: bool,
    pin_ca: bool,
    output: str,
) -> None:
    """Make a key by which hosts join, and print it this once.

    It alone is on standard output, and is what a host sets as REGISTRATION_KEY. A host that has
    joined starts again with it also when it has expired or is used up.
    """
    new = NewJoinKey(
        environment,
        name_pattern,
        _parsed(labels),
        uses,
        int(expires.total_seconds()) if expires else None,
        ephemeral,
        pre_approved,
    )
    with api() as client:
        made, key, is_open_registration = client.create_join_key(new, pins_authority=pin_ca)
    answer = {
        "join_key": _key_json(made),
        "key": key,
        "everybody_may_join": is_open_registration,
    }
    click.echo(as_json(answer) if output == "json" else key)
    click.echo(f"made the join key {made.key.key_id}", err=True)
    click.echo("It is shown this once: set it as REGISTRATION_KEY of the hosts.", err=True)
    if is_open_registration:
        click.echo(
            "Everybody may join without it: set REGISTRATION_KEY on the API, or"
            " REGISTRATION_KEY_REQUIRED=true to admit hosts with join keys alone.",
            err=True,
        )


@keys.command("list")
@output_option
def list_keys(output: str) -> None:
    """List join keys, by id, without their secrets."""
    with api() as client:
        found = list(client.join_keys())
    if output == "json":
        click.echo(as_json([_key_json(used_key) for used_key in found]))
    else:
        click.echo(_key_table(found, datetime.now(UTC)))


@keys.command()
@click.argument("key_id")
@output_option
def usage(key_id: str, output: str) -> None:
    """List the servers that joined with a key, by id; some of them may be gone."""
    check_key_id(key_id, JOIN_KEY)
    with api() as client:
        uses = list(client.join_key_uses(key_id))
    if output == "json":
        click.echo(as_json([_use_json(use) for use in uses]))
    else:
        click.echo(_use_table(uses, datetime.now(UTC)))


@keys.command()
@click.argument("key_ids", metavar="KEY_ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@output_option
def revoke(key_ids: tuple[str, ...], yes: bool, output: str) -> None:
    """Revoke keys, by their ids: no host registers with them any more.

    Servers that joined with them stay in the fleet, and online: their hosts go on by credentials
    of their own. `manmanv2 servers ban` shuts a machine out.
    """
    for key_id in key_ids:
        check_key_id(key_id, JOIN_KEY)
    to_revoke = list(dict.fromkeys(key_ids))
    for_programs = output == "json"
    revoked: list[UsedJoinKey] = []
    with api() as client:
        if not yes:
            uses = [use for key_id in to_revoke for use in client.join_key_uses(key_id)]
            _ask(to_revoke, uses, for_programs=for_programs)
        try:
            for key_id in to_revoke:
                used_key = client.revoke_join_key(key_id)
                revoked.append(used_key)
                if not for_programs:
                    click.echo(f"revoked the join key {key_id}")
        finally:
            # What is revoked is told when the API refuses a later one, too.
            if for_programs:
                click.echo(as_json([_key_json(used_key) for used_key in revoked]))


def _ask(key_ids: Sequence[str], uses: Sequence[JoinKeyUse], *, for_programs: bool) -> None:
    these = "this key" if len(key_ids) == 1 else f"these {len(key_ids)} keys"
    if uses:
        click.echo(_use_table(uses, datetime.now(UTC)), err=for_programs)
        click.echo(
            "Their hosts go on by credentials of their own; `manmanv2 servers ban` shuts one out.",
            err=for_programs,
        )
    else:
        click.echo(f"No server has joined with {these}.", err=for_programs)
    click.confirm(f"Revoke {these}?", abort=True, err=for_programs)


def _parsed(labels: Sequence[str]) -> Mapping[str, str]:
    parsed: dict[str, str] = {}
    for label in labels:
        key, is_set, value = label.partition("=")
        if not is_set:
            raise click.UsageError(f"{label!r} is not KEY=VALUE.")
        if key in parsed:
            raise click.UsageError(f"{key!r} is named more than once.")
        parsed[key] = value
    return parsed


def _key_table(found: Iterable[UsedJoinKey], now: datetime) -> str:
    columns = ("KEY", "STATE", "USED", "ENVIRONMENT", "NAMES", "EXPIRES", "GIVES", "CREATED", "BY")
    rows = [
        (
            used_key.key.key_id,
            _state(used_key, now),
            f"{used_key.used}/{used_key.key.uses}" if used_key.key.uses else str(used_key.used),
            used_key.key.environment or "any",
            used_key.key.name_pattern or "any",
            iso(used_key.key.expires_at) if used_key.key.expires_at else "never",
            _gives(used_key) or "-",
            iso(used_key.key.created_at),
            used_key.key.created_by,
        )
        for used_key in found
    ]
    return table(columns, rows)


def _state(used_key: UsedJoinKey, now: datetime) -> str:
    key = used_key.key
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now:
        return "expired"
    return "used up" if key.uses and used_key.used >= key.uses else "valid"


def _gives(used_key: UsedJoinKey) -> str:
    key = used_key.key
    given = [f"{name}={value}" for name, value in sorted(key.labels.items())]
    given += ["ephemeral"] if key.ephemeral else []
    given += ["pre-approved"] if key.pre_approved else []
    return ", ".join(given)


def _use_table(uses: Iterable[JoinKeyUse], now: datetime) -> str:
    columns = ("KEY", "SERVER", "NAME", "ADDRESS", "TIMES", "FIRST", "LAST")
    rows = [
        (
            use.key_id,
            str(use.server_id),
            use.name,
            use.address or "-",
            str(use.times),
            ago(use.first_at, now),
            ago(use.last_at, now),
        )
        for use in uses
    ]
    return table(columns, rows)


def _key_json(used_key: UsedJoinKey) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    key = used_key.key
    return {
        "key_id": key.key_id,
        "environment": key.environment or None,
        "name_pattern": key.name_pattern or None,
        "labels": dict(sorted(key.labels.items())),
        "uses": key.uses,
        "used": used_key.used,
        "expires_at": iso(key.expires_at) if key.expires_at else None,
        "ephemeral": key.ephemeral,
        "pre_approved": key.pre_approved,
        "created_at": iso(key.created_at),
        "created_by": key.created_by,
        "revoked_at": iso(key.revoked_at) if key.revoked_at else None,
    }


def _use_json(use: JoinKeyUse) -> dict[str, Any]:
    return {
        "key_id": use.key_id,
        "server_id": use.server_id,
        "name": use.name,
        "address": use.address or None,
        "first_at": iso(use.first_at),
        "last_at": iso(use.last_at),
        "times": use.times,
    }
