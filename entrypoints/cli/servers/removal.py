"""How servers leave the fleet, and come back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from application.ports.store.deleted_servers import DeletedServer
from domain.liveness import Status
from domain.server import Server
from entrypoints.cli.options import Duration, ServerId, output_option
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import ago, as_json, iso, server_json, server_table, table

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

_NAMES_IN_A_QUESTION = 5


class DeletedServerId(ServerId):
    def listed(self, client: "OperatorClient") -> Iterable[Server]:
        return (deleted.server for deleted in client.deleted_servers())


@click.command()
@click.argument("server_ids", type=ServerId(), nargs=-1)
@click.option("--not-seen-for", type=Duration(), help="Those silent for so long, as 24h.")
@click.option("--environment", default="", help="With --not-seen-for: only of this environment.")
@click.option("--force", is_flag=True, help="Also those that are online.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and stop.")
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
    """Delete servers, by id or by age, with everything that hangs on them.

    For a time that the API sets, 30 days by default, `servers restore` brings them back.
    """
    if bool(server_ids) == bool(not_seen_for):
        raise click.UsageError("Name servers by their ids, or say --not-seen-for.")
    if environment and server_ids:
        raise click.UsageError("--environment goes with --not-seen-for.")
    for_programs = output == "json"
    with api() as client:
        to_delete = _to_delete(client, server_ids, not_seen_for, environment)
        if not to_delete:
            click.echo("[]" if for_programs else "No server was silent for so long.")
            return
        if not _confirmed(to_delete, _question(to_delete), for_programs, yes, dry_run):
            return
        with _summary(for_programs) as report:
            for server in to_delete:
                report(server, _delete(client, server, only_silent=bool(not_seen_for), force=force))


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be deleted, and stop.")
@output_option
def prune(yes: bool, dry_run: bool, output: str) -> None:
    """Delete the ephemeral servers that were offline for too long, as the API does by itself."""
    for_programs = output == "json"
    with api() as client:
        to_delete, more = client.prune(dry_run=True)
        if not to_delete:
            nobody = "No ephemeral server was offline for long enough."
            click.echo("[]" if for_programs else nobody)
            return
        others = " and all others of the kind" if more else ""
        question = f"Delete {_count(to_delete)}{others} with all configuration?"
        if not _confirmed(to_delete, question, for_programs, yes, dry_run, others):
            return
        with _summary(for_programs) as report:
            more = True
            while more:
                to_delete, more = client.prune()
                for server in to_delete:
                    report(server, True)


@click.command()
@click.argument("server_id", type=DeletedServerId())
@click.option("--name", default="", metavar="NAME", help="Under another name than it had.")
@output_option
def restore(server_id: int, name: str, output: str) -> None:
    """Bring a deleted server back, with its id and all that hung on it.

    `servers list --deleted` lists what can be restored.
    """
    with api() as client:
        server = client.restore(server_id, name)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        click.echo(
            f"restored server {server.server_id} ({server.name}): it is offline until its host"
            " joins again"
        )


def list_deleted(output: str) -> None:
    """What `servers list --deleted` prints."""
    with api() as client:
        found = list(client.deleted_servers())
    if output == "json":
        click.echo(as_json([_deleted_json(deleted) for deleted in found]))
    else:
        now = datetime.now(UTC)
        columns = ("ID", "NAME", "DELETED", "RESTORABLE UNTIL", "CAUSE")
        click.echo(table(columns, [_deleted_row(deleted, now) for deleted in found]))


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
    to_delete: Sequence[Server],
    question: str,
    for_programs: bool,
    yes: bool,
    dry_run: bool,
    others: str = "",
) -> bool:
    """Show who is to be deleted, and whether to go on."""
    asks = not yes and not dry_run
    if asks or not for_programs:
        click.echo(server_table(to_delete, datetime.now(UTC)), err=for_programs)
    if dry_run:
        would = as_json([_outcome(server, deleted=False) for server in to_delete])
        click.echo(would if for_programs else f"{_count(to_delete)}{others} would be deleted.")
        return False
    if asks:
        click.confirm(question, abort=True, err=for_programs)
    return True


@contextmanager
def _summary(for_programs: bool) -> Iterator[Callable[[Server, bool], None]]:
    """Takes each server, and whether it was deleted."""
    outcomes: list[dict[str, Any]] = []

    def report(server: Server, deleted: bool) -> None:
        outcomes.append(_outcome(server, deleted=deleted))
        if not for_programs:
            named = f"server {server.server_id} ({server.name})"
            said = f"deleted {named}" if deleted else f"kept {named}: it was seen again"
            click.echo(said)

    try:
        yield report
    finally:
        # What is gone is told when the API goes away in the middle of it, too.
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


def _question(to_delete: Sequence[Server]) -> str:
    online = [server.name for server in to_delete if server.presence.status is Status.ONLINE]
    although = ""
    if online:
        named = ", ".join(online[:_NAMES_IN_A_QUESTION])
        more = ", …" if len(online) > _NAMES_IN_A_QUESTION else ""
        verb = "is" if len(online) == 1 else "are"
        although = f", although {len(online)} of them {verb} online ({named}{more})"
    return f"Delete {_count(to_delete)} with all configuration{although}?"


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
