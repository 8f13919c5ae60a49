"""The servers that are measured, each started as a process and with its fleet registered."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.sql.migrations import upgrade
from tests.benchmarks import cpu, fleet
from tests.benchmarks.amqp_load import RunLoad, load_over_amqp
from tests.benchmarks.load import run_load
from tests.benchmarks.server_process import ServerProcess
from tests.real_parts.postgres import PostgresServer
from tests.real_parts.rabbitmq import RabbitBroker

EMPTY_HANDLER = "empty handler"
UPDATE_PER_HEARTBEAT = "UPDATE per heartbeat"
OVER_AMQP = "API on PostgreSQL, over AMQP"
APIS = ("API on PostgreSQL", "API on SQLite", "API in memory")


@dataclass(frozen=True)
class Subject:
    name: str
    server: ServerProcess
    server_ids: list[int]
    # Unix seconds by id; None when the server keeps nothing.
    last_seen: Callable[[], Mapping[int, float]] | None
    postgres_pid: int | None = None
    broker_pid: int | None = None
    run_load: RunLoad = run_load


@dataclass(frozen=True)
class Bench:
    """Where subjects are built, and what ends them."""

    hosts: int
    folder: Path
    postgres: PostgresServer
    broker: RabbitBroker
    stack: ExitStack

    def subjects(self) -> list[Subject]:
        postgres, sqlite, memory = APIS
        url = self._database()
        return [
            self._empty_handler(),
            self._update_per_heartbeat(),
            self._api(postgres, url, cpu.postgres_pid(url)),
            self._api(sqlite, f"sqlite:///{self.folder}/manmanv2.sqlite3"),
            self._api(memory, "memory://"),
            self._over_amqp(),
        ]

    def _over_amqp(self) -> Subject:
        url = self._database()
        subject = self._api(OVER_AMQP, url, cpu.postgres_pid(url), RABBITMQ_URL=self.broker.url())
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

    def _empty_handler(self) -> Subject:
        command = [sys.executable, "-m", "tests.benchmarks.empty_handler"]
        server = self._start(EMPTY_HANDLER, command)
        return Subject(EMPTY_HANDLER, server, list(range(1, self.hosts + 1)), None)

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

    def _api(
        self, name: str, database_url: str, postgres_pid: int | None = None, **variables: str
    ) -> Subject:
        server = self._start(
            name,
            [str(Path(sys.executable).with_name("manmanv2-api"))],
            DATABASE_URL=database_url,
            LISTEN_ADDRESS="127.0.0.1:0",
            **variables,
        )
        return Subject(
            name,
            server,
            fleet.register(server.port, self.hosts),
            lambda: fleet.last_seen(server.port),
            postgres_pid,
        )
