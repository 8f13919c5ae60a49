"""A real RabbitMQ broker of our own for tests."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import amqp

from tests.support.canary_secrets import canary, leak_detector
from tests.support.services.families import kill_family, suspend
from tests.support.services.ports import free_port

START_TIMEOUT_SECONDS = 120
# Longer than the broker takes to give up a quorum queue that has no leader.
ANSWER_TIMEOUT_SECONDS = 60
VHOSTS = ("/", "dev", "prod")
USER, PASSWORD = "guest", canary("broker password")
DEBIANS = Path("/usr/lib/rabbitmq/bin")


@dataclass(frozen=True)
class Tls:
    """The broker's certificate and key, and the CA, as PEM files."""

    ca: Path
    certificate: Path
    key: Path


class RabbitBroker:
    """A broker of our own, which tests may stop, restart, kill and freeze.

    Its URLs and everything durable survive a restart. Its one user is an administrator with all
    rights on each of ``VHOSTS``. With ``tls`` it also listens on ``tls_port``.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        binaries = find_broker_binaries()
        if binaries is None:
            raise RuntimeError("no RabbitMQ here: apt-get install rabbitmq-server")
        self._server = binaries / "rabbitmq-server"
        self._origin = "Debian's binaries" if binaries == DEBIANS else "binaries on PATH"
        # Stored data belongs to the node name, so a restart must keep it.
        self._node = f"manman-{uuid.uuid4().hex[:12]}@localhost"
        self._port, self._distribution_port, self._tls_port = _different_ports(3)
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="manman-rabbitmq-"))
        self._configure()

    @property
    def running(self) -> bool:
        """Whether the broker runs; true also while it is frozen."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process, "a broker that does not run has no process"
        return self._process.pid

    @property
    def tls_port(self) -> int:
        assert self._tls, "this broker was made without TLS"
        return self._tls_port

    def url(self, vhost: str = "/") -> str:
        return f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{quote(vhost, safe='')}"

    def start(self) -> None:
        """Returns once AMQP connections are answered; does nothing when the broker runs.

        The broker dies with the thread that called this.
        """
        if self.running:
            return
        leak_detector.follow("in the log of RabbitMQ", self._log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # The signal on the parent's death ends the broker even when pytest is killed.
                ["setpriv", "--pdeathsig=KILL", str(self._server)],
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for pytest, whose fixtures still need the broker while they tear down.
                start_new_session=True,
            )
        self._await_answer()

    def stop(self) -> None:
        """Stop cleanly: connections are closed, and everything is written to disk."""
        if self._process is not None:
            self.thaw()
            self._process.terminate()
            self._process.wait(START_TIMEOUT_SECONDS)
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill(self) -> None:
        """Crashes every process of the broker at once; the next start has to recover.

        RabbitMQ 3.10 never finds a leader again for a quorum queue that was declared within the
        second before, whatever it confirmed: a test of durable messages lets its queue get older.
        """
        if self._process is not None and self.running:
            kill_family(self._process)
        self._process = None

    def freeze(self) -> None:
        """Leaves its connections open and answers nothing, until thawed, stopped or killed."""
        assert self._process, "a broker that does not run cannot be frozen"
        suspend(self.pid)

    def thaw(self) -> None:
        """Does nothing when the broker is not frozen."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def forget(self, queues: Iterable[str], exchanges: Iterable[str], vhost: str = "/") -> None:
        """Delete these queues and exchanges if they exist, with bindings and messages.

        The caller must name them: AMQP cannot list them, and rabbitmqctl takes more than a second.
        A quorum queue that lost its leader for good takes the broker five seconds.
        """
        with self._connection(vhost) as connection, connection.channel() as channel:
            # RabbitMQ reports no error if there is nothing to delete.
            for queue in queues:
                channel.queue_delete(queue)
            for exchange in exchanges:
                channel.exchange_delete(exchange)

    def waiting(self, queue: str, vhost: str = "/") -> list[str]:
        """Properties and body of each message, which stays in the queue; empty without a queue."""
        messages: list[str] = []
        with (
            # A quorum queue that lost its leader for good raises InternalError.
            contextlib.suppress(amqp.NotFound, amqp.InternalError),
            self._connection(vhost) as connection,
            connection.channel() as channel,
        ):
            while message := channel.basic_get(queue):
                messages.append(f"{message.delivery_info} {message.properties} {message.body!r}")
        return messages

    def __str__(self) -> str:
        with self._connection() as connection:
            return f"RabbitMQ {connection.server_properties['version']} ({self._origin})"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        leak_detector.unfollow(self._log)
        shutil.rmtree(self._folder)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def _settings(self) -> Path:
        return self._folder / "rabbitmq.conf"

    @property
    def _plugins(self) -> Path:
        return self._folder / "plugins"

    def _configure(self) -> None:
        definitions = self._folder / "definitions.json"
        definitions.write_text(json.dumps(_definitions()))
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self._port}",
            # Read at every start, and in place of the default user and vhost.
            "load_definitions": definitions,
            "log.file": "false",
            "log.console": "true",
            "log.console.level": "warning",
        }
        if self._tls:
            settings |= {
                "listeners.ssl.1": f"127.0.0.1:{self._tls_port}",
                "ssl_options.cacertfile": self._tls.ca,
                "ssl_options.certfile": self._tls.certificate,
                "ssl_options.keyfile": self._tls.key,
            }
        self._settings.write_text("".join(f"{name} = {settings[name]}\n" for name in settings))
        # A start scans all installed plugins, and we use none: without them it takes a fifth less.
        # RabbitMQ itself is one of them, and the start needs it for the settings.
        self._plugins.mkdir()
        for part in self._server.resolve().parents[1].glob("plugins/rabbit-*"):
            (self._plugins / part.name).symlink_to(part)

    def _environment(self) -> dict[str, str]:
        """The whole environment: no setting of another broker or of a developer may apply."""
        nothing = str(self._folder / "nothing")
        arguments = {
            # With the node name here, RabbitMQ does not start another Erlang, which would start
            # epmd, the machine's one list of nodes, and leave it running.
            "-sname": self._node,
            "-erl_epmd_port": str(self._distribution_port),
            "-kernel inet_dist_use_interface": "{127,0,0,1}",
            # Brokers of parallel tests share the machine.
            "+S": "2:2",
        }
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            # Erlang writes its cookie here.
            "HOME": str(self._folder),
            # Only this makes the script exec the broker instead of starting it as a child.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Applies also to the short-lived Erlang with which a broker checks epmd every minute.
            "ERL_FLAGS": "-start_epmd false",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": self._node,
            # Otherwise brokers of parallel tests would all use the same two processors.
            "RABBITMQ_SCHEDULER_BIND_TYPE": "u",
            # Measured on a virtual machine: a start takes 2 s and not the 5.5 s of RabbitMQ's
            # "none", because sleeping and waking up is slow there. An idle broker uses no more CPU.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "very_short",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
                f"{name} {value}" for name, value in arguments.items()
            ),
            "RABBITMQ_CONFIG_FILE": str(self._settings),
            "RABBITMQ_CONF_ENV_FILE": nothing,
            "RABBITMQ_ADVANCED_CONFIG_FILE": nothing,
            "RABBITMQ_ENABLED_PLUGINS_FILE": nothing,
            "RABBITMQ_PLUGINS_DIR": str(self._plugins),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
        }

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError, amqp.AMQPError), self._connection():
                return
            time.sleep(0.02)
        raise RuntimeError(f"RabbitMQ did not start:\n{self._log.read_text()}")

    def _connection(self, vhost: str = "/") -> amqp.Connection:
        """Connects when entered."""
        return amqp.Connection(
            f"127.0.0.1:{self._port}",
            USER,
            PASSWORD,
            virtual_host=vhost,
            connect_timeout=ANSWER_TIMEOUT_SECONDS,
            read_timeout=ANSWER_TIMEOUT_SECONDS,
            write_timeout=ANSWER_TIMEOUT_SECONDS,
        )


def find_broker_binaries() -> Path | None:
    """The folder that contains rabbitmq-server, or None if RabbitMQ is not installed."""
    if (DEBIANS / "rabbitmq-server").exists():
        # Debian's command on PATH is a wrapper that only root may run.
        return DEBIANS
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path).resolve().parent if on_path else None


def _definitions() -> dict[str, object]:
    salt = os.urandom(4)
    digest = hashlib.sha256(salt + PASSWORD.encode()).digest()
    user = {
        "name": USER,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"],
    }
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return {
        "users": [user],
        "vhosts": [{"name": vhost} for vhost in VHOSTS],
        "permissions": [{"user": USER, "vhost": vhost, **everything} for vhost in VHOSTS],
    }


def _different_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)
