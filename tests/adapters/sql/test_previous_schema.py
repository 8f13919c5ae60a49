"""APIs of the previous version on a database of this version."""

from pathlib import Path

from sqlalchemy import bindparam, text

from adapters.sql.engine import make_engine
from adapters.sql.migrations import upgrade
from adapters.sql.store import SqlStore
from adapters.sql.tables import UtcDateTime
from tests.support.builders import NOW


def test_an_api_of_the_previous_schema_can_still_record_events(
    postgres_url: str, tmp_path: Path
) -> None:
    for url in (postgres_url, f"sqlite:///{tmp_path / 'upgraded.sqlite3'}"):
        upgrade(url)
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO outbox (message_id, kind, server_id, occurred_at, name,"
                    " environment, status, config_revision)"
                    " VALUES ('m-1', 'online', 1, :now, 'box', '', 'online', 0)"
                ).bindparams(bindparam("now", NOW, UtcDateTime))
            )
        with SqlStore(engine).begin() as transaction:
            [event] = transaction.outbox.oldest(10)
        engine.dispose()

        assert (event.message_id, event.trace_parent) == ("m-1", "")
