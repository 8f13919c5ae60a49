from typing import Any, BinaryIO

import click

from domain.configuration import (
    ConfigurationSummary,
    check_configuration_name,
    check_document,
)
from domain.labels import parse_selector
from entrypoints.cli.options import (
    OfServerOrSelector,
    ServerId,
    output_option,
    selector_option,
    server_id_argument,
)
from entrypoints.cli.session import Failure, api
from entrypoints.cli.views.tables import as_json, iso, summary_json, table

_instead_of_server = selector_option("In the place of SERVER_ID: all servers with these labels")


@click.group()
def configs() -> None:
    """The JSON documents that hang on a server, or on a selector of servers by their labels."""


@configs.command(cls=OfServerOrSelector)
@server_id_argument
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@_instead_of_server
@output_option
def put(name: str, file: BinaryIO, selector: str, output: str, server_id: int = 0) -> None:
    """Attach the document in FILE (default: standard input), or replace it.

    With -l there is no SERVER_ID: every server that has these labels gets the document, now or
    later, as with `configs put -l region=nyc motd FILE`. Of several documents of one name a server
    gets its own, else that of the selector with the most requirements, and of several such the one
    that was put last.
    """
    try:
        document = file.read().decode()
    except UnicodeDecodeError:
        raise Failure("the document is not UTF-8 text", exit_code=65) from None
    # Here already, because the API takes no call that is much larger than a document may be.
    check_configuration_name(name)
    check_document(document)
    with api() as client:
        put = client.put_configuration(server_id, name, document, selector)
    if output == "json":
        summary = {"name": put.name, "revision": put.revision, "updated_at": iso(put.updated_at)}
        click.echo(as_json({**_owner_json(server_id, selector), **summary}))
    else:
        click.echo(f"{put.name} of {_owner(server_id, selector)} has revision {put.revision}")


@configs.command(cls=OfServerOrSelector)
@server_id_argument
@click.argument("name")
@_instead_of_server
def get(name: str, selector: str, server_id: int = 0) -> None:
    """Print a document as it was put, on one server or, with -l, on a selector."""
    with api() as client:
        click.echo(client.configuration(server_id, name, selector).document, nl=False)


@configs.command("list")
@click.argument("server_id", type=ServerId(), required=False)
@_instead_of_server
@output_option
def list_configurations(server_id: int | None, selector: str, output: str) -> None:
    """List a server's own documents, by name; without SERVER_ID, those on selectors."""
    if server_id is not None and selector:
        raise click.UsageError("Name a server by its id, or a selector with -l.")
    wanted = parse_selector(selector) if selector else None
    with api() as client:
        found = client.configurations(server_id or 0)
    if wanted:
        found = [has for has in found if has.selector == wanted]
    if output == "json":
        click.echo(as_json([summary_json(has) for has in found]))
    elif server_id is None:
        rows = [(str(has.selector), *_row(has)) for has in found]
        click.echo(table(("SELECTOR", *_COLUMNS), rows))
    else:
        click.echo(table(_COLUMNS, map(_row, found)))


@configs.command()
@server_id_argument
@output_option
def effective(server_id: int, output: str) -> None:
    """List what a server gets, by name, and on what each document hangs."""
    with api() as client:
        found = client.effective_configurations(server_id)
    if output == "json":
        click.echo(as_json([summary_json(has) for has in found]))
    else:
        rows = [(*_row(has), str(has.selector or "itself")) for has in found]
        click.echo(table((*_COLUMNS, "HANGS ON"), rows))


@configs.command(cls=OfServerOrSelector)
@server_id_argument
@click.argument("name")
@_instead_of_server
@output_option
def delete(name: str, selector: str, output: str, server_id: int = 0) -> None:
    """Take a document away from one server or, with -l, from a selector.

    Its file on the host goes too, unless another document of this name comes into effect.
    """
    with api() as client:
        client.delete_configuration(server_id, name, selector)
    if output == "json":
        click.echo(as_json({**_owner_json(server_id, selector), "name": name}))
    else:
        click.echo(f"deleted {name} of {_owner(server_id, selector)}")


_COLUMNS = ("NAME", "REVISION", "UPDATED")


def _row(has: ConfigurationSummary) -> tuple[str, ...]:
    return has.name, str(has.revision), iso(has.updated_at)


def _owner(server_id: int, selector: str) -> str:
    return f"the selector {parse_selector(selector)}" if selector else f"server {server_id}"


def _owner_json(server_id: int, selector: str) -> dict[str, Any]:
    return {"selector": str(parse_selector(selector))} if selector else {"server_id": server_id}
