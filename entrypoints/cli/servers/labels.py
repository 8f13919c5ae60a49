"""What operators say of servers."""

from collections.abc import Sequence

import click

from entrypoints.cli.options import output_option, server_id_argument
from entrypoints.cli.session import api
from entrypoints.cli.views.tables import as_json, server_json, shown_labels


@click.command()
@server_id_argument
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@output_option
def label(server_id: int, changes: tuple[str, ...], output: str) -> None:
    """Set labels of a server with KEY=VALUE, and take them away with KEY-.

    They win over those that the host brings itself (LABELS), which come back when they are taken
    away. Servers are selected by them, see -l of `servers list` and of `configs put`.
    """
    labels, unset = _parsed(changes)
    with api() as client:
        server = client.label(server_id, labels, unset)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        has = shown_labels(server)
        named = f"server {server.server_id} ({server.name})"
        click.echo(f"{named} has the labels {has}" if has else f"{named} has no labels")


def _parsed(changes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    labels: dict[str, str] = {}
    unset: list[str] = []
    for change in changes:
        key, is_set, value = change.partition("=")
        if not is_set and not change.endswith("-"):
            raise click.UsageError(f"{change!r} is neither KEY=VALUE nor KEY-.")
        key = key if is_set else change.removesuffix("-")
        if key in labels or key in unset:
            raise click.UsageError(f"{key!r} is named more than once.")
        if is_set:
            labels[key] = value
        else:
            unset.append(key)
    return labels, unset
