import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version

from tests.support.services.postgres import PostgresServer
from tests.support.services.rabbitmq import RabbitBroker


def machine_line(postgres: PostgresServer, broker: RabbitBroker) -> str:
    """The machine on which the figures were measured."""
    h2load = subprocess.check_output(["h2load", "--version"], text=True).split()[-1]
    return ", ".join(
        [
            f"{len(os.sched_getaffinity(0))} cores ({platform.machine()})",
            f"Python {platform.python_version()}",
            *(f"{name} {version(name)}" for name in ("grpcio", "uvloop", "sqlalchemy")),
            f"psycopg2 {version('psycopg2-binary')}",
            str(postgres),
            str(broker),
            f"SQLite {sqlite3.sqlite_version}",
            f"h2load {h2load}",
        ]
    )
