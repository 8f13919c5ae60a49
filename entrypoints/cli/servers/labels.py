"""Labels that operators set on servers."""

from collections.abc import Sequence

import click

from entrypoints.cli.options import output_option, server_id_argument
from entrypoints.cli.session import api
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.servers import label_text, server_json


@click.command()
@server_id_argument
@click.argument("changes", nargs=-1, required=True, metavar="KEY=VALUE|KEY-...")
@output_option
def label(server_id: int, changes: tuple[str, ...], output: str) -> None:
    """Set labels of a server (KEY=VALUE), or remove them (KEY-).

    Labels set here override those that the host reports itself (LABELS); removing one brings the
    host's own value back. Select servers by their labels with -l of `servers list` and of
    `configs put`.
    """
    labels, unset = _parse_changes(changes)
    with api() as client:
        server = client.label(server_id, labels, unset)
    if output == "json":
        click.echo(as_json(server_json(server)))
    else:
        text = label_text(server)
        named = f"server {server.server_id} ({server.name})"
        print_lines(f"{named} has the labels {text}" if text else f"{named} has no labels")


def _parse_changes(changes: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The labels to set, and the keys of those to remove."""
    labels: dict[str, str] = {}
    unset: list[str] = []
    for change in changes:
        key, is_set, value = change.partition("=")
        if not is_set and not change.endswith("-"):
            raise click.UsageError(f"{change!r} is neither KEY=VALUE nor KEY-.")
        key = key if is_set else change.removesuffix("-")
        if key in labels or key in unset:
            raise click.UsageError(f"{key!r} is given more than once.")
        if is_set:
            labels[key] = value
        else:
            unset.append(key)
    return labels, unset
