import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from domain.server import Server
from entrypoints.cli.settings import CliSettings
from entrypoints.cli.views.live_screen import LiveScreen
from entrypoints.cli.views.output import print_lines
from entrypoints.cli.views.servers import SERVER_COLUMNS, print_servers, server_row, status_text
from entrypoints.cli.views.tables import Row
from entrypoints.failures import CommandFailed
from entrypoints.settings import host_and_port, split_address

if TYPE_CHECKING:
    from adapters.grpc.client.operator_client import OperatorClient

_REFRESH_SECONDS = 1.0
_STOP_TIMEOUT_SECONDS = 15.0
_MAX_LOG_LINES_SHOWN = 10
# How many ports above a taken one are tried.
_MAX_PORTS_TRIED = 50

_DEFAULTS = {
    "LISTEN_ADDRESS": "127.0.0.1:50051",
    "DATABASE_URL": "sqlite:///manmanv2.sqlite3",
    "HEARTBEAT_INTERVAL_SECONDS": "5",
    "ENVIRONMENT": "demo",
    "DOCKER_OPTIONAL": "true",
}
# Both programs run on this machine, and no certificate is valid for the loopback address.
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
@click.option(
    "--stop-with-pid",
    type=click.IntRange(min=1),
    hidden=True,
    help="Also stop once the process with this id has ended.",
)
def demo(stop_with_pid: int | None) -> None:
    """Run an API and one host manager on this machine.

    A table shows their state until Ctrl-C stops both. The API keeps its data in an SQLite file, by
    default manmanv2.sqlite3. The programs get this command's environment variables, so any of their
    settings can be tried.
    """
    from adapters.grpc.client.operator_client import OperatorClient

    environment = {**_DEFAULTS, **os.environ, **_WITHOUT_TLS, "LOG_FORMAT": "json"}
    _check_port(environment["LISTEN_ADDRESS"])
    key = CliSettings.load(environment).operator_key
    display = _Display(live=sys.stdout.isatty() and os.environ.get("TERM") != "dumb")
    stop_requested = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda *_: stop_requested.set())

    display.log("Starting an API and a host manager.")
    api = _Program("api", "entrypoints.api.main", environment, display)
    # In the order in which they stop: the host leaves while the API still listens.
    programs = [api]
    client: OperatorClient | None = None
    try:
        while not stop_requested.wait(_REFRESH_SECONDS) and _is_running(stop_with_pid):
            _check_running(programs, display)
            if client:
                display.draw(_servers(client, display))
            elif api.address:
                # Only after the API's own log line, because another API with hosts of its own may
                # have the port.
                client = OperatorClient(api.address, key.reveal() if key else None)
                display.hints = _hints(api.address)
                environment["API_ADDRESS"] = api.address
                # The API has taken that port.
                environment.pop("METRICS_ADDRESS", None)
                programs.insert(0, _Program("host", "entrypoints.host.main", environment, display))
        exit_codes = []
        for program in programs:
            exit_codes.append(program.stop())
            display.draw(_servers(client, display) if client else None)
            display.close()
    finally:
        display.close()
        for program in programs:
            program.stop()
        if client:
            client.close()
    # A program that was stopped before it handles signals has ended as it should, too.
    if set(exit_codes) - {os.EX_OK, -signal.SIGTERM}:
        raise CommandFailed(
            "the programs did not end cleanly; see the lines above.", os.EX_SOFTWARE
        )


def _check_port(listen_address: str) -> None:
    """Raises CommandFailed for a taken port. The API explains everything else that is wrong."""
    try:
        host, port = split_address(host_and_port()(listen_address))
    except ValueError:
        return
    if not _is_taken(host, port):
        return
    free = next(
        (
            other
            for other in range(port + 1, min(port + _MAX_PORTS_TRIED, 65535))
            if not _is_taken(host, other)
        ),
        None,
    )
    cure = "stop that program, or set LISTEN_ADDRESS to another HOST:PORT"
    if free:
        address = f"{listen_address.rpartition(':')[0]}:{free}"
        cure = f"stop that program, or run it on another port: LISTEN_ADDRESS={address} make run"
    raise CommandFailed(
        f"port {port} is taken by another program, perhaps another `make run`: {cure}",
        os.EX_UNAVAILABLE,
    )


def _is_taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the API does it: connections that are still closing do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _is_running(pid: int | None) -> bool:
    """Whether the process exists; True without a process to watch."""
    if pid is None:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _check_running(programs: "Sequence[_Program]", display: "_Display") -> None:
    """Raises CommandFailed if one of them has ended."""
    for program in programs:
        if program.has_ended():
            display.close()
            raise CommandFailed(
                f"the {program.name} ended by itself; its last line above says why.",
                program.process.returncode or os.EX_SOFTWARE,
            )


def _hints(address: str) -> list[str]:
    """Three commands to try next, as they can be typed in the current directory."""
    command = "manmanv2"
    if shutil.which(command) != str(Path(sys.argv[0]).absolute()):
        relative = os.path.relpath(sys.argv[0])
        command = sys.argv[0] if relative.startswith("..") else relative
    if address.rpartition(":")[2] != _DEFAULTS["LISTEN_ADDRESS"].rpartition(":")[2]:
        command += f" --api {address}"
    return [
        "Try in another terminal:",
        f"  {command} servers watch",
        f"  {command} servers explain 1",
        f"  echo '{{}}' | {command} configs put 1 motd",
    ]


def _servers(client: "OperatorClient", display: "_Display") -> Sequence[Server] | None:
    """None while the API does not answer, and an empty list once it requires a key."""
    from adapters.grpc.client.operator_client import OperatorCallFailed

    try:
        return list(client.servers())
    except OperatorCallFailed as error:
        if error.code.name == "UNAUTHENTICATED":
            display.log_once(f"demo: {error}")
            return []
        return None


class _Program:
    """One of our commands as a process, whose log lines appear on the terminal.

    It ends with this process, even if that is killed.
    """

    def __init__(
        self, name: str, module: str, environment: dict[str, str], display: "_Display"
    ) -> None:
        self.name = name
        # Where it serves, once it has logged that.
        self.address = ""
        self._display = display
        self.process = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.cli.demo_child", str(os.getpid()), module],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A session of its own: Ctrl-C reaches this process only, and the host leaves before
            # the API stops.
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
        """Stop it unless it has ended; returns its exit code."""
        self.process.terminate()
        try:
            exit_code = self.process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            exit_code = self.process.wait()
        self._reader.join()
        return exit_code

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            fields = _log_fields(line)
            self.address = fields.get("serving_address", self.address)
            self._display.log(f"{self.name}: {fields['event']}")


class _Display:
    """On a terminal a live table with the latest log lines below it. Elsewhere each line as it
    comes, and the table whenever a server or its status changes."""

    def __init__(self, live: bool) -> None:
        self.hints: Sequence[str] = ()
        self._screen = LiveScreen(SERVER_COLUMNS) if live else None
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=_MAX_LOG_LINES_SHOWN)
        self._printed_statuses: object = None
        self._not_drawn: list[str] = []
        self._logged_once: set[str] = set()

    def log(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)
            self._not_drawn.append(line)
            if not self._screen:
                print_lines(line)

    def log_once(self, line: str) -> None:
        if line not in self._logged_once:
            self._logged_once.add(line)
            self.log(line)

    def draw(self, servers: Sequence[Server] | None) -> None:
        if servers is None:
            return
        now = datetime.now(UTC)
        with self._lock:
            if self._screen:
                self._not_drawn.clear()
                rows = [Row(server_row(server, now)) for server in servers]
                self._screen.draw(rows, "Stop with Ctrl-C.", self._lines, hints=self.hints)
                return
            statuses = [(server.server_id, status_text(server)) for server in servers]
            if statuses != self._printed_statuses:
                print_servers(servers, now)
                if servers and self.hints:
                    print_lines(*self.hints)
                    self.hints = ()
            self._printed_statuses = statuses

    def close(self) -> None:
        """Leave the drawing on the terminal; lines that come later are printed below it."""
        with self._lock:
            if self._screen:
                self._screen.close()
                if self._not_drawn:
                    print_lines(*self._not_drawn)
            self._screen = None


def _log_fields(line: str) -> dict[str, str]:
    """The fields of a log line in JSON. A line that is something else is an event by itself."""
    with suppress(ValueError):
        fields = json.loads(line)
        if isinstance(fields, dict) and "event" in fields:
            return {name: str(value) for name, value in fields.items()}
    return {"event": line.rstrip()}
