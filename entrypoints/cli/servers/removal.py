"""Servers that leave the fleet, and those that come back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from application.ports.store.deleted_servers import DeletedServer
from domain.liveness import Status
from domain.server import Server
from entrypoints.cli.options import Duration, ServerId, output_option, yes_option
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, confirm, print_lines
from entrypoints.cli.views.progress import count_progress
from entrypoints.cli.views.servers import print_servers, server_json
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import ago, iso

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

_MAX_NAMES_IN_QUESTION = 5

_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be deleted, and delete nothing."
)


class DeletedServerId(ServerId):
    def __init__(self) -> None:
        super().__init__("servers list --deleted")

    def servers_to_complete(self, client: "OperatorClient") -> Iterable[Server]:
        return (deleted.server for deleted in client.deleted_servers())


@click.command()
@click.argument("server_ids", metavar="[SERVER_ID]...", type=ServerId(), nargs=-1)
@click.option(
    "--not-seen-for",
    type=Duration(),
    help="Delete all servers not heard from for this long, for example 24h.",
)
@click.option(
    "--environment",
    default="",
    metavar="NAME",
    help="With --not-seen-for: only servers in this environment.",
)
@click.option("--force", is_flag=True, help="Delete servers that are online, too.")
@yes_option
@_dry_run_option
@output_option
def delete(
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
    force: bool,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Delete servers with their configuration.

    Give their ids, or select all servers that were not heard from for long with --not-seen-for.
    `servers restore` brings a deleted server back, for 30 days unless the API sets another time.
    """
    if bool(server_ids) == bool(not_seen_for):
        raise click.UsageError("Give either the ids of servers or --not-seen-for.")
    if environment and server_ids:
        raise click.UsageError("--environment can only be combined with --not-seen-for.")
    for_programs = output == "json"
    with api() as client:
        chosen = _to_delete(client, server_ids, not_seen_for, environment)
        if not chosen:
            click.echo("[]" if for_programs else "No server has been silent for that long.")
            return
        if not _confirmed(chosen, _question(chosen), for_programs, yes, dry_run):
            return
        with _summary(for_programs, len(chosen)) as report:
            for server in chosen:
                report(server, _delete(client, server, only_silent=bool(not_seen_for), force=force))


@click.command()
@yes_option
@_dry_run_option
@output_option
def prune(yes: bool, dry_run: bool, output: str) -> None:
    """Delete ephemeral servers that have been offline for too long.

    The API does this by itself, too.
    """
    for_programs = output == "json"
    with api() as client:
        chosen, more = client.prune(dry_run=True)
        if not chosen:
            nothing = "No ephemeral server has been offline for long enough."
            click.echo("[]" if for_programs else nothing)
            return
        others = " and all other such servers" if more else ""
        question = f"Delete {_count(chosen)}{others} with all configuration?"
        if not _confirmed(chosen, question, for_programs, yes, dry_run, others):
            return
        with _summary(for_programs, None if more else len(chosen)) as report:
            more = True
            while more:
                deleted, more = client.prune()
                for server in deleted:
                    report(server, True)


@click.command()
@click.argument("server_id", type=DeletedServerId())
@click.option("--name", default="", metavar="NAME", help="Restore it under another name.")
@output_option
def restore(server_id: int, name: str, output: str) -> None:
    """Restore a deleted server with its id and all its data.

    `servers list --deleted` lists the servers that can be restored.
    """
    with api() as client:
        server = client.restore(server_id, name)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        print_lines(
            f"restored server {server.server_id} ({server.name}): it is offline until its host"
            " registers again"
        )


def list_deleted(output: str) -> None:
    """What `servers list --deleted` prints."""
    with api() as client:
        listed = list(client.deleted_servers())
    if output == "json":
        click.echo(as_json([_deleted_json(deleted) for deleted in listed]))
        return
    now = datetime.now(UTC)
    columns = (
        Column("ID"),
        Column("NAME", Fit.CUT),
        Column("DELETED", Fit.LEAVE_OUT),
        Column("RESTORABLE UNTIL"),
        Column("CAUSE", Fit.WRAP),
    )
    print_table(columns, [_deleted_row(deleted, now) for deleted in listed])


def _deleted_row(deleted: DeletedServer, now: datetime) -> tuple[str, ...]:
    server = deleted.server
    return (
        str(server.server_id),
        server.name,
        ago(deleted.deleted_at, now),
        iso(deleted.purged_at),
        deleted.cause,
    )


def _deleted_json(deleted: DeletedServer) -> dict[str, Any]:
    """Named as in the wire contract; times are ISO 8601 in UTC."""
    return {
        "server": server_json(deleted.server),
        "deleted_at": iso(deleted.deleted_at),
        "purged_at": iso(deleted.purged_at),
        "cause": deleted.cause,
    }


def _confirmed(
    chosen: Sequence[Server],
    question: str,
    for_programs: bool,
    yes: bool,
    dry_run: bool,
    others: str = "",
) -> bool:
    """Show the servers to delete; returns whether to continue. Raises click.Abort if the operator
    answers no."""
    asks = not yes and not dry_run
    if asks or not for_programs:
        print_servers(chosen, datetime.now(UTC), err=for_programs)
    if dry_run:
        would_be = as_json([_outcome(server, deleted=False) for server in chosen])
        click.echo(would_be if for_programs else f"{_count(chosen)}{others} would be deleted.")
        return False
    if asks:
        confirm(question, err=for_programs)
    return True


@contextmanager
def _summary(for_programs: bool, total: int | None) -> Iterator[Callable[[Server, bool], None]]:
    """Yields a function to call with each server, and whether it was deleted.

    A `total` of None means that it is not known yet.
    """
    outcomes: list[dict[str, Any]] = []
    try:
        with count_progress("Deleting servers", total) as advance:

            def report(server: Server, deleted: bool) -> None:
                advance()
                outcomes.append(_outcome(server, deleted=deleted))
                if not for_programs:
                    named = f"server {server.server_id} ({server.name})"
                    kept = f"kept {named}, because it was heard from again"
                    print_lines(f"deleted {named}" if deleted else kept)

            yield report
    finally:
        # Deletions are reported even if the API stops answering halfway.
        if for_programs:
            click.echo(as_json(outcomes))


def _delete(client: "OperatorClient", server: Server, *, only_silent: bool, force: bool) -> bool:
    seen = client.server(server.server_id).presence.last_seen
    if only_silent and seen != server.presence.last_seen:
        return False
    client.delete(server.server_id, force=force)
    return True


def _outcome(server: Server, *, deleted: bool) -> dict[str, Any]:
    return {"server_id": server.server_id, "name": server.name, "deleted": deleted}


def _question(chosen: Sequence[Server]) -> str:
    online = [server.name for server in chosen if server.presence.status is Status.ONLINE]
    although = ""
    if online:
        named = ", ".join(online[:_MAX_NAMES_IN_QUESTION])
        more = ", …" if len(online) > _MAX_NAMES_IN_QUESTION else ""
        verb = "is" if len(online) == 1 else "are"
        although = f", although {len(online)} of them {verb} online ({named}{more})"
    return f"Delete {_count(chosen)} with all configuration{although}?"


def _count(servers: Sequence[Server]) -> str:
    return "1 server" if len(servers) == 1 else f"{len(servers)} servers"


def _to_delete(
    client: "OperatorClient",
    server_ids: tuple[int, ...],
    not_seen_for: timedelta | None,
    environment: str,
) -> list[Server]:
    if not_seen_for:
        return list(client.servers(environment, not_seen_for=not_seen_for))
    return [client.server(server_id) for server_id in dict.fromkeys(server_ids)]
