"""Join keys, with which hosts register."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.store.access.join_keys import JoinKeyUse
from domain.join_key import NewJoinKey
from domain.keys import JOIN_KEY, check_key_id
from entrypoints.cli.options import Duration, output_option, yes_option
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, confirm, print_lines
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import ago, iso


@click.group()
def keys() -> None:
    """Manage join keys, with which hosts register."""


@keys.command()
@click.option(
    "--environment",
    default="",
    metavar="NAME",
    help="Admit only this environment. A host without one is put in it.",
)
@click.option(
    "--name",
    "name_pattern",
    default="",
    metavar="PATTERN",
    help="Admit only hosts whose names match, for example 'game-*'. ? is any one character.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set this operator's label on each server that registers. May be repeated.",
)
@click.option(
    "--uses",
    type=click.IntRange(min=1),
    help="How many servers may register with the key. Default: any number.",
)
@click.option(
    "--expires",
    type=Duration(),
    help="How long new servers may register, for example 24h. Default: forever.",
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="Delete the servers once they have been offline for too long.",
)
@click.option(
    "--pre-approved",
    is_flag=True,
    help="The servers need no approval by an operator.",
)
@click.option(
    "--pin-ca",
    is_flag=True,
    help="Put the digest of the API's CA into the key, so that hosts need no API_CA_CERT_PATH.",
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
    """Create a join key and print it.

    It cannot be shown again. Standard output contains only the key. Set it as REGISTRATION_KEY of
    the hosts. A host that has registered with it can restart with it even after the key has expired
    or is used up.
    """
    new = NewJoinKey(
        environment,
        name_pattern,
        _parse_labels(labels),
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
    print_lines(
        f"created the join key {made.key.key_id}",
        "It is not shown again: set it as REGISTRATION_KEY of the hosts.",
        err=True,
    )
    if is_open_registration:
        print_lines(
            "Every host may still register without a key: set REGISTRATION_KEY on the API, or"
            " REGISTRATION_KEY_REQUIRED=true to admit only hosts with a join key.",
            err=True,
        )


@keys.command("list")
@output_option
def list_keys(output: str) -> None:
    """List join keys, by id, without their secrets."""
    with api() as client:
        listed = list(client.join_keys())
    if output == "json":
        click.echo(as_json([_key_json(used_key) for used_key in listed]))
    else:
        _print_keys(listed, datetime.now(UTC))


@keys.command()
@click.argument("key_id")
@output_option
def usage(key_id: str, output: str) -> None:
    """List the servers that registered with a key, by id. Some may be deleted by now."""
    check_key_id(key_id, JOIN_KEY)
    with api() as client:
        uses = list(client.join_key_uses(key_id))
    if output == "json":
        click.echo(as_json([_use_json(use) for use in uses]))
    else:
        _print_uses(uses, datetime.now(UTC))


@keys.command()
@click.argument("key_ids", metavar="KEY_ID...", nargs=-1, required=True)
@yes_option
@output_option
def revoke(key_ids: tuple[str, ...], yes: bool, output: str) -> None:
    """Revoke join keys: no new host can register with them.

    Servers that already registered with them stay in the fleet and online, because their hosts have
    credentials of their own. Use `manmanv2 servers ban` to refuse a machine.
    """
    for key_id in key_ids:
        check_key_id(key_id, JOIN_KEY)
    to_revoke = list(dict.fromkeys(key_ids))
    for_programs = output == "json"
    revoked: list[UsedJoinKey] = []
    with api() as client:
        if not yes:
            uses = [use for key_id in to_revoke for use in client.join_key_uses(key_id)]
            _confirm(to_revoke, uses, for_programs=for_programs)
        try:
            for key_id in to_revoke:
                used_key = client.revoke_join_key(key_id)
                revoked.append(used_key)
                if not for_programs:
                    print_lines(f"revoked the join key {key_id}")
        finally:
            # Keys already revoked are reported even if the API refuses a later one.
            if for_programs:
                click.echo(as_json([_key_json(used_key) for used_key in revoked]))


def _confirm(key_ids: Sequence[str], uses: Sequence[JoinKeyUse], *, for_programs: bool) -> None:
    these = "this key" if len(key_ids) == 1 else f"these {len(key_ids)} keys"
    if uses:
        _print_uses(uses, datetime.now(UTC), err=for_programs)
        print_lines(
            "Their hosts keep running with credentials of their own; `manmanv2 servers ban` refuses"
            " one.",
            err=for_programs,
        )
    else:
        print_lines(f"No server has registered with {these}.", err=for_programs)
    confirm(f"Revoke {these}?", err=for_programs)


def _parse_labels(labels: Sequence[str]) -> Mapping[str, str]:
    parsed: dict[str, str] = {}
    for label in labels:
        key, is_set, value = label.partition("=")
        if not is_set:
            raise click.UsageError(f"{label!r} is not KEY=VALUE.")
        if key in parsed:
            raise click.UsageError(f"{key!r} is given more than once.")
        parsed[key] = value
    return parsed


def _print_keys(keys: Iterable[UsedJoinKey], now: datetime) -> None:
    columns = (
        Column("KEY"),
        Column("STATE"),
        Column("USED"),
        Column("ENVIRONMENT", Fit.CUT),
        Column("NAMES", Fit.CUT),
        Column("EXPIRES", Fit.LEAVE_OUT),
        Column("GIVES", Fit.LEAVE_OUT),
        Column("CREATED", Fit.LEAVE_OUT),
        Column("BY", Fit.LEAVE_OUT),
    )
    rows = [
        (
            used_key.key.key_id,
            _state(used_key, now),
            f"{used_key.used}/{used_key.key.uses}" if used_key.key.uses else str(used_key.used),
            used_key.key.environment or "any",
            used_key.key.name_pattern or "any",
            iso(used_key.key.expires_at) if used_key.key.expires_at else "never",
            _grants(used_key) or "-",
            iso(used_key.key.created_at),
            used_key.key.created_by,
        )
        for used_key in keys
    ]
    print_table(columns, rows)


def _state(used_key: UsedJoinKey, now: datetime) -> str:
    key = used_key.key
    if key.revoked_at:
        return "revoked"
    if key.expires_at and key.expires_at <= now:
        return "expired"
    return "used up" if key.uses and used_key.used >= key.uses else "valid"


def _grants(used_key: UsedJoinKey) -> str:
    key = used_key.key
    grants = [f"{name}={value}" for name, value in sorted(key.labels.items())]
    grants += ["ephemeral"] if key.ephemeral else []
    grants += ["pre-approved"] if key.pre_approved else []
    return ", ".join(grants)


def _print_uses(uses: Iterable[JoinKeyUse], now: datetime, *, err: bool = False) -> None:
    columns = (
        Column("KEY"),
        Column("SERVER"),
        Column("NAME", Fit.CUT),
        Column("ADDRESS", Fit.LEAVE_OUT),
        Column("TIMES", Fit.LEAVE_OUT),
        Column("FIRST", Fit.LEAVE_OUT),
        Column("LAST", Fit.LEAVE_OUT),
    )
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
    print_table(columns, rows, err=err)


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
