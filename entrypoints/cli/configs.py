from datetime import datetime
from typing import Any, BinaryIO

import click

from domain.configuration import check_configuration_name, check_document
from entrypoints.cli.options import output_option, server_id_argument
from entrypoints.cli.output import as_json, iso, table
from entrypoints.cli.session import Failure, api


@click.group()
def configs() -> None:
    """The JSON documents that hang on a server."""


@configs.command()
@server_id_argument
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@output_option
def put(server_id: int, name: str, file: BinaryIO, output: str) -> None:
    """Attach the document in FILE (default: standard input), or replace it."""
    try:
        document = file.read().decode()
    except UnicodeDecodeError:
        raise Failure("the document is not UTF-8 text", exit_code=65) from None
    # Here already, because the API takes no call that is much larger than a document may be.
    check_configuration_name(name)
    check_document(document)
    with api() as client:
        configuration = client.put_configuration(server_id, name, document)
    if output == "json":
        summary = _summary_json(
            configuration.name, configuration.revision, configuration.updated_at
        )
        click.echo(as_json({"server_id": server_id, **summary}))
    else:
        name, revision = configuration.name, configuration.revision
        click.echo(f"{name} of server {server_id} has revision {revision}")


@configs.command()
@server_id_argument
@click.argument("name")
def get(server_id: int, name: str) -> None:
    """Print a document as it was put."""
    with api() as client:
        click.echo(client.configuration(server_id, name).document, nl=False)


@configs.command("list")
@server_id_argument
@output_option
def list_configurations(server_id: int, output: str) -> None:
    """List a server's documents, by name."""
    with api() as client:
        found = client.configurations(server_id)
    if output == "json":
        click.echo(
            as_json([_summary_json(has.name, has.revision, has.updated_at) for has in found])
        )
    else:
        cells = [(has.name, str(has.revision), iso(has.updated_at)) for has in found]
        click.echo(table(("NAME", "REVISION", "UPDATED"), cells))


@configs.command()
@server_id_argument
@click.argument("name")
@output_option
def delete(server_id: int, name: str, output: str) -> None:
    """Take a document away; its file on the host goes too."""
    with api() as client:
        client.delete_configuration(server_id, name)
    if output == "json":
        click.echo(as_json({"server_id": server_id, "name": name}))
    else:
        click.echo(f"deleted {name} of server {server_id}")


def _summary_json(name: str, revision: int, updated_at: datetime) -> dict[str, Any]:
    return {"name": name, "revision": revision, "updated_at": iso(updated_at)}
