from typing import BinaryIO

import click

from domain.configuration import check_configuration_name, check_document
from entrypoints.cli.output import as_json, iso, table
from entrypoints.cli.servers import output_option
from entrypoints.cli.session import SERVER_ID, Failure, api


@click.group()
def configs() -> None:
    """The JSON documents that hang on a server."""


@configs.command()
@click.argument("server_id", type=SERVER_ID)
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
def put(server_id: int, name: str, file: BinaryIO) -> None:
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
    click.echo(f"{configuration.name} of server {server_id} has revision {configuration.revision}")


@configs.command()
@click.argument("server_id", type=SERVER_ID)
@click.argument("name")
def get(server_id: int, name: str) -> None:
    """Print a document as it was put."""
    with api() as client:
        click.echo(client.configuration(server_id, name).document, nl=False)


@configs.command("list")
@click.argument("server_id", type=SERVER_ID)
@output_option
def list_configurations(server_id: int, output: str) -> None:
    """List a server's documents, by name."""
    with api() as client:
        found = client.configurations(server_id)
    rows = [(summary.name, summary.revision, iso(summary.updated_at)) for summary in found]
    if output == "json":
        keys = ("name", "revision", "updated_at")
        click.echo(as_json([dict(zip(keys, row, strict=True)) for row in rows]))
    else:
        cells = [(name, str(revision), updated_at) for name, revision, updated_at in rows]
        click.echo(table(("NAME", "REVISION", "UPDATED"), cells))


@configs.command()
@click.argument("server_id", type=SERVER_ID)
@click.argument("name")
def delete(server_id: int, name: str) -> None:
    """Take a document away; its file on the host goes too."""
    with api() as client:
        client.delete_configuration(server_id, name)
    click.echo(f"deleted {name} of server {server_id}")
