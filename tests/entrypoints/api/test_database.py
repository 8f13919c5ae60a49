import sys
from pathlib import Path
from subprocess import run

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from adapters.sql.engine import make_engine
from adapters.sql.migrations import __file__ as migrations
from adapters.sql.schema import newest_revision
from entrypoints.api.database import prepare_database
from entrypoints.failures import ConfigurationError


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    assert newest_revision() == ScriptDirectory(str(Path(migrations).parent)).get_current_head()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'newer.sqlite3'}"
    prepare_database(url)
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigurationError, match="install the version that upgraded it"):
        prepare_database(url)


def test_an_api_with_an_upgraded_database_starts_without_loading_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ready.sqlite3'}"
    prepare_database(url)
    code = (
        "import sys, entrypoints.api.main\n"
        "from entrypoints.api.database import prepare_database\n"
        "prepare_database(sys.argv[1])\n"
        "sys.exit('alembic' in sys.modules)"
    )

    assert run([sys.executable, "-c", code, url], check=False).returncode == 0
