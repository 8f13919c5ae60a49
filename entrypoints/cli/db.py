import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from entrypoints.cli.options import output_option
from entrypoints.cli.views.output import as_json, print_lines
from entrypoints.cli.views.progress import step_progress

# Alembic logs each step here as it begins, among other things.
_STEP_LOGGER = "alembic.runtime.migration"


@click.group()
def db() -> None:
    """Manage the API's database, which DATABASE_URL names."""


@db.command()
@output_option
def upgrade(output: str) -> None:
    """Upgrade the database to this version's schema.

    It is safe to run this again, or on several machines at the same time.
    """
    # Only this command works with a database; the others start without loading the drivers.
    from adapters.sql.schema import newest_revision
    from entrypoints.api.database import prepare_database
    from entrypoints.api.settings import ApiSettings, StoreKind

    settings = ApiSettings.load()
    if settings.store_kind is StoreKind.MEMORY:
        revision, sentence = None, "DATABASE_URL is memory://, which has no schema"
    else:
        with step_progress("Upgrading the database") as begin_step, _report_steps(begin_step):
            prepare_database(settings.database_url.reveal(), upgrade=True)
        revision, sentence = newest_revision(), "the database has the schema of this version"
    if output == "json":
        click.echo(as_json({"schema_revision": revision}))
    else:
        print_lines(sentence)


@contextmanager
def _report_steps(report: Callable[[str], None]) -> Iterator[None]:
    """Call `report` with each step that Alembic logs."""
    logger = logging.getLogger(_STEP_LOGGER)
    level, propagate = logger.level, logger.propagate
    handler = _Reporter(report)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Reporter(logging.Handler):
    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        from alembic.runtime.migration import MigrationStep

        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, MigrationStep):
                self._report(str(value))
