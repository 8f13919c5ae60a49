import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

import click

from domain.server import Server
from entrypoints.cli.settings import CliSettings
from entrypoints.cli.views.screen import Row, Screen
from entrypoints.cli.views.tables import SERVER_COLUMNS, server_row, server_table, shown_status
from entrypoints.failures import CommandFailed

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

_REFRESH_SECONDS = 1.0
_STOP_SECONDS = 15.0
_LINES_SHOWN = 10
_SERVING = "serving on "

_DEFAULTS = {
    "LISTEN_ADDRESS": "127.0.0.1:50051",
    "DATABASE_URL": "sqlite:///manmanv2.sqlite3",
    "HEARTBEAT_INTERVAL_SECONDS": "5",
    "ENVIRONMENT": "demo",
    "DOCKER_OPTIONAL": "true",
}
# Both are on this machine, on which no certificate is for the loopback.
_WITHOUT_TLS = {
    "TLS_CERT_PATH": "",
    "TLS_KEY_PATH": "",
    "API_ADDRESS": "",
    "API_USE_TLS": "",
    "API_CA_CERT_PATH": "",
    "API_TLS_SERVER_NAME": "",
    "API_MTLS_ADDRESS": "",
    "CA_CERT_PATH": "",
    "CA_KEY_PATH": "",
    "MTLS_LISTEN_ADDRESS": "",
    "TRUST_DOMAIN": "",
}


@click.command()
def demo() -> None:
    """Run an API on an SQLite file and one host manager, and watch them. Stop with Ctrl-C."""
    from adapters.grpc.client.operator_client import OperatorClient

    environment = {**_DEFAULTS, **os.environ, **_WITHOUT_TLS, "LOG_FORMAT": "json"}
    key = CliSettings.load(environment).operator_key
    display = _Display(live=sys.stdout.isatty())
    asked_to_stop = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda *_: asked_to_stop.set())

    display.say("Starting an API and a host manager.")
    api = _Program("api", "entrypoints.api.main", environment, display)
    # The last in is the first out: a host leaves while the API still listens.
    programs = [api]
    client: OperatorClient | None = None
    try:
        while not asked_to_stop.wait(_REFRESH_SECONDS):
            _check_running(programs, display)
            if client:
                display.draw(_servers(client, display))
            elif api.address:
                # Only from its own word: another API may have the port, with hosts of its own.
                client = OperatorClient(api.address, key.reveal() if key else None)
                environment["API_ADDRESS"] = api.address
                # The API has that port.
                environment.pop("METRICS_ADDRESS", None)
                programs.insert(0, _Program("host", "entrypoints.host.main", environment, display))
        exit_codes = []
        for program in programs:
            exit_codes.append(program.stop())
            display.draw(_servers(client, display) if client else None)
            display.close()
    finally:
        for program in programs:
            program.stop()
        if client:
            client.close()
    # One that was stopped before it could listen to signals has ended as it should, too.
    if set(exit_codes) - {os.EX_OK, -signal.SIGTERM}:
        raise CommandFailed("they did not end cleanly, see the lines above.", os.EX_SOFTWARE)


def _check_running(programs: "Sequence[_Program]", display: "_Display") -> None:
    for program in programs:
        if program.has_ended():
            display.close()
            raise CommandFailed(
                f"the {program.name} ended by itself, its last line above says why.",
                program.process.returncode or os.EX_SOFTWARE,
            )


def _servers(client: "OperatorClient", display: "_Display") -> Sequence[Server] | None:
    """None while the API does not answer, and none at all once it wants a key."""
    from adapters.grpc.client.operator_client import OperatorCallFailed

    try:
        return list(client.servers())
    except OperatorCallFailed as error:
        if error.code.name == "UNAUTHENTICATED":
            display.log_once(f"demo: {error}")
            return []
        return None


class _Program:
    """One of our commands as a process, whose log lines appear on the terminal."""

    def __init__(
        self, name: str, module: str, environment: dict[str, str], display: "_Display"
    ) -> None:
        self.name = name
        # Where it serves, once it has said so.
        self.address = ""
        self._display = display
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            # A session of its own: Ctrl-C reaches us alone, and the host leaves before the API.
            start_new_session=True,
        )
        assert self.process.stderr
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def has_ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self._reader.join()
        return True

    def stop(self) -> int:
        """End it if it has not ended; returns its exit code."""
        self.process.terminate()
        try:
            exit_code = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            exit_code = self.process.wait()
        self._reader.join()
        return exit_code

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            event = _event(line)
            if event.startswith(_SERVING):
                self.address = event.removeprefix(_SERVING)
            self._display.say(f"{self.name}: {event}")


class _Display:
    """On a terminal a live table, with the last lines of the logs below; elsewhere each line as it
    comes, and the table when a server or its status changes."""

    def __init__(self, live: bool) -> None:
        self._screen = Screen(SERVER_COLUMNS, never_cut=("ID", "STATUS")) if live else None
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_LINES_SHOWN)
        self._drawn: object = None
        self._not_drawn: list[str] = []
        self._said_once: set[str] = set()

    def say(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)
            self._not_drawn.append(line)
            if not self._screen:
                click.echo(line)

    def log_once(self, line: str) -> None:
        if line not in self._said_once:
            self._said_once.add(line)
            self.say(line)

    def draw(self, servers: Sequence[Server] | None) -> None:
        if servers is None:
            return
        now = datetime.now(UTC)
        with self._lock:
            if self._screen:
                self._not_drawn.clear()
                rows = [Row(server_row(server, now)) for server in servers]
                self._screen.draw(rows, "Stop with Ctrl-C.", self._lines)
                return
            statuses = [(server.server_id, shown_status(server)) for server in servers]
            if statuses != self._drawn:
                click.echo(server_table(servers, now))
            self._drawn = statuses

    def close(self) -> None:
        """From now on each line as it comes, below what was drawn."""
        with self._lock:
            if self._screen:
                click.echo("\n".join(self._not_drawn))
            self._screen = None


def _event(line: str) -> str:
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return line.rstrip()
