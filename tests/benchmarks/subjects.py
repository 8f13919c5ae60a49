"""The servers that are measured: each is a process with a registered fleet."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.sql.migrations import upgrade
from tests.benchmarks import cpu, fleet
from tests.benchmarks.amqp_load import RunLoad, load_over_amqp
from tests.benchmarks.load import run_load
from tests.benchmarks.server_process import ServerProcess
from tests.support.services.ports import free_port
from tests.support.services.postgres import PostgresServer
from tests.support.services.rabbitmq import RabbitBroker

EMPTY_HANDLER = "empty handler"
EMPTY_HANDLER_ON_UVLOOP = "empty handler on uvloop"
UPDATE_PER_HEARTBEAT = "UPDATE per heartbeat"
COMMIT_PER_HEARTBEAT = "API, a commit per heartbeat"
OVER_AMQP = "API on PostgreSQL, over AMQP"
APIS = (
    "API on PostgreSQL",
    "API on PostgreSQL, 2 workers",
    "API on SQLite",
    "API on SQLite, 2 workers",
    "API in memory",
)


_API = (str(Path(sys.executable).with_name("manmanv2-api")),)
_COMMIT_PER_HEARTBEAT = (sys.executable, "-m", "tests.benchmarks.commit_per_heartbeat")


def _two_workers() -> dict[str, str]:
    # Workers can share only a port that is fixed in advance.
    return {"API_WORKERS": "2", "LISTEN_ADDRESS": f"127.0.0.1:{free_port()}"}


@dataclass(frozen=True)
class Subject:
    name: str
    server: ServerProcess
    server_ids: list[int]
    # Unix seconds by server id; None if the server stores nothing.
    last_seen: Callable[[], Mapping[int, float]] | None
    postgres_pid: int | None = None
    broker_pid: int | None = None
    run_load: RunLoad = run_load


@dataclass(frozen=True)
class Bench:
    """What subjects are built with."""

    hosts: int
    folder: Path
    postgres: PostgresServer
    broker: RabbitBroker
    stack: ExitStack

    def subjects(self) -> list[Subject]:
        postgres, postgres_shared, sqlite, sqlite_shared, memory = APIS
        return [
            self._empty_handler(EMPTY_HANDLER),
            self._empty_handler(EMPTY_HANDLER_ON_UVLOOP, "uvloop"),
            self._update_per_heartbeat(),
            self._on_postgres(COMMIT_PER_HEARTBEAT, command=_COMMIT_PER_HEARTBEAT),
            self._on_postgres(postgres),
            self._on_postgres(postgres_shared, **_two_workers()),
            self._api(sqlite, f"sqlite:///{self.folder}/one.sqlite3"),
            self._api(sqlite_shared, f"sqlite:///{self.folder}/two.sqlite3", **_two_workers()),
            self._api(memory, "memory://"),
            self._over_amqp(),
        ]

    def _over_amqp(self) -> Subject:
        subject = self._on_postgres(OVER_AMQP, RABBITMQ_URL=self.broker.url())
        return replace(
            subject, broker_pid=self.broker.pid, run_load=load_over_amqp(self.broker.url())
        )

    def _database(self) -> str:
        url = self.postgres.create_database()
        upgrade(url)
        return url

    def _start(self, name: str, command: list[str], **environment: str) -> ServerProcess:
        output = self.folder / f"{name.replace(' ', '-')}.log"
        return self.stack.enter_context(ServerProcess(command, environment, output))

    def _empty_handler(self, name: str, *arguments: str) -> Subject:
        command = [sys.executable, "-m", "tests.benchmarks.empty_handler", *arguments]
        return Subject(name, self._start(name, command), list(range(1, self.hosts + 1)), None)

    def _update_per_heartbeat(self) -> Subject:
        url = self._database()
        command = [sys.executable, "-m", "tests.benchmarks.update_per_heartbeat"]
        return Subject(
            UPDATE_PER_HEARTBEAT,
            self._start(UPDATE_PER_HEARTBEAT, command, DATABASE_URL=url),
            fleet.insert(url, self.hosts),
            lambda: fleet.last_seen_in_database(url),
            cpu.postgres_pid(url),
        )

    def _on_postgres(self, name: str, command: Sequence[str] = _API, **variables: str) -> Subject:
        url = self._database()
        return replace(
            self._api(name, url, command, **variables), postgres_pid=cpu.postgres_pid(url)
        )

    def _api(
        self, name: str, database_url: str, command: Sequence[str] = _API, **variables: str
    ) -> Subject:
        server = self._start(
            name,
            [*command],
            **{"DATABASE_URL": database_url, "LISTEN_ADDRESS": "127.0.0.1:0", **variables},
        )
        return Subject(
            name,
            server,
            fleet.register(server.port, self.hosts),
            lambda: fleet.last_seen(server.port),
        )
