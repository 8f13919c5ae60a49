"""`python -m adapters.sql.migrations check` fails if the tables differ from the migrations.

`python -m adapters.sql.migrations new "what it does"` drafts the next revision.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from adapters.sql.engine import make_engine
from adapters.sql.migrations import alembic_config, differences, upgrade_engine
from adapters.sql.schema import newest_revision


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{Path(folder) / 'fresh.sqlite3'}")
        upgrade_engine(engine)
        match arguments:
            case ["check"]:
                all_differences = differences(engine)
                for difference in all_differences:
                    print(difference)
                return 1 if all_differences else 0
            case ["new", message]:
                number = f"{int(newest_revision()) + 1:04}"
                with engine.begin() as connection:
                    command.revision(
                        alembic_config(connection), message, autogenerate=True, rev_id=number
                    )
                return 0
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
