from typing import Any, BinaryIO

import click

from domain.configuration import (
    ConfigurationSummary,
    check_configuration_name,
    check_document,
)
from domain.labels import parse_selector
from entrypoints.cli.options import (
    ServerId,
    ServerOrSelectorCommand,
    output_option,
    selector_option,
    server_id_argument,
)
from entrypoints.cli.session import Failure, api
from entrypoints.cli.views.output import as_json, print_document, print_lines
from entrypoints.cli.views.servers import summary_json
from entrypoints.cli.views.tables import Column, Fit, print_table
from entrypoints.cli.views.times import iso

_selector_option = selector_option("Instead of SERVER_ID: all servers whose labels match")


@click.group()
def configs() -> None:
    """Manage the JSON documents that configure servers."""


@configs.command(cls=ServerOrSelectorCommand)
@server_id_argument
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@_selector_option
@output_option
def put(name: str, file: BinaryIO, selector: str, output: str, server_id: int = 0) -> None:
    """Attach a document to a server or a selector, or replace it.

    The document is in FILE, by default standard input. With -l, leave out SERVER_ID: every server
    whose labels match gets the document, now or once its labels match, for example `configs put -l
    region=nyc motd FILE`. If several documents have the same name, a server gets its own, otherwise
    that of the selector with the most requirements, and among equals the one that was put last.
    """
    try:
        document = file.read().decode()
    except UnicodeDecodeError:
        raise Failure("the document is not UTF-8 text", exit_code=65) from None
    # Checked here too, because the API refuses calls much larger than a document may be.
    check_configuration_name(name)
    check_document(document)
    with api() as client:
        stored = client.put_configuration(server_id, name, document, selector)
    if output == "json":
        summary = {
            "name": stored.name,
            "revision": stored.revision,
            "updated_at": iso(stored.updated_at),
        }
        click.echo(as_json({**_owner_json(server_id, selector), **summary}))
    else:
        print_lines(
            f"{stored.name} of {_owner(server_id, selector)} has revision {stored.revision}"
        )


@configs.command(cls=ServerOrSelectorCommand)
@server_id_argument
@click.argument("name")
@_selector_option
def get(name: str, selector: str, server_id: int = 0) -> None:
    """Print a document exactly as it was put.

    It is a document of a server or, with -l, of a selector. On a terminal, control characters in it
    are shown as JSON escapes.
    """
    with api() as client:
        print_document(client.configuration(server_id, name, selector).document)


@configs.command("list")
@click.argument("server_id", type=ServerId(), required=False)
@_selector_option
@output_option
def list_configurations(server_id: int | None, selector: str, output: str) -> None:
    """List the documents attached to a server or to selectors.

    Without SERVER_ID, list those attached to selectors.
    """
    if server_id is not None and selector:
        raise click.UsageError("Give a server's id or a selector with -l, not both.")
    wanted = parse_selector(selector) if selector else None
    with api() as client:
        documents = client.configurations(server_id or 0)
    if wanted:
        documents = [document for document in documents if document.selector == wanted]
    if output == "json":
        click.echo(as_json([summary_json(document) for document in documents]))
    elif server_id is None:
        columns = (Column("SELECTOR", Fit.CUT), *_COLUMNS)
        print_table(columns, [(str(document.selector), *_row(document)) for document in documents])
    else:
        print_table(_COLUMNS, map(_row, documents))


@configs.command()
@server_id_argument
@output_option
def effective(server_id: int, output: str) -> None:
    """List the documents that a server gets, and where each comes from."""
    with api() as client:
        documents = client.effective_configurations(server_id)
    if output == "json":
        click.echo(as_json([summary_json(document) for document in documents]))
    else:
        rows = [(*_row(document), str(document.selector or "itself")) for document in documents]
        print_table((*_COLUMNS, Column("ATTACHED TO", Fit.CUT)), rows)


@configs.command(cls=ServerOrSelectorCommand)
@server_id_argument
@click.argument("name")
@_selector_option
@output_option
def delete(name: str, selector: str, output: str, server_id: int = 0) -> None:
    """Delete a document of a server or, with -l, of a selector.

    Its file on the host is removed too, unless another document of that name takes effect.
    """
    with api() as client:
        client.delete_configuration(server_id, name, selector)
    if output == "json":
        click.echo(as_json({**_owner_json(server_id, selector), "name": name}))
    else:
        print_lines(f"deleted {name} of {_owner(server_id, selector)}")


_COLUMNS = (Column("NAME", Fit.CUT), Column("REVISION"), Column("UPDATED", Fit.LEAVE_OUT))


def _row(document: ConfigurationSummary) -> tuple[str, ...]:
    return document.name, str(document.revision), iso(document.updated_at)


def _owner(server_id: int, selector: str) -> str:
    return f"the selector {parse_selector(selector)}" if selector else f"server {server_id}"


def _owner_json(server_id: int, selector: str) -> dict[str, Any]:
    return {"selector": str(parse_selector(selector))} if selector else {"server_id": server_id}
