import click


@click.group()
def db() -> None:
    """The API's database, named by DATABASE_URL."""


@db.command()
def upgrade() -> None:
    """Bring the database to the schema of this version. Safe to run twice, or on two machines."""
    # Only this command works with a database; the others start without loading the drivers.
    from entrypoints.api.database import prepare_database
    from entrypoints.api.settings import ApiSettings, StoreKind

    settings = ApiSettings.load()
    if settings.store_kind is StoreKind.MEMORY:
        click.echo("DATABASE_URL is memory://, which has no schema")
        return
    prepare_database(settings.database_url.reveal(), upgrade=True)
    click.echo("the database has the schema of this version")
