import click

from entrypoints.cli.options import output_option
from entrypoints.cli.views.tables import as_json


@click.group()
def db() -> None:
    """The API's database, named by DATABASE_URL."""


@db.command()
@output_option
def upgrade(output: str) -> None:
    """Bring the database to the schema of this version. Safe to run twice, or on two machines."""
    # Only this command works with a database; the others start without loading the drivers.
    from adapters.sql.schema import newest_revision
    from entrypoints.api.database import prepare_database
    from entrypoints.api.settings import ApiSettings, StoreKind

    settings = ApiSettings.load()
    if settings.store_kind is StoreKind.MEMORY:
        revision, sentence = None, "DATABASE_URL is memory://, which has no schema"
    else:
        prepare_database(settings.database_url.reveal(), upgrade=True)
        revision, sentence = newest_revision(), "the database has the schema of this version"
    click.echo(as_json({"schema_revision": revision}) if output == "json" else sentence)
