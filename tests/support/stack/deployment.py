"""The production stack as shipped, on a Docker engine of this machine."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.conftest import SUBSCRIBER_QUEUE
from tests.support.event_subscriber import EventSubscriber, channel
from tests.support.processes import eventually
from tests.support.repository import ROOT
from tests.support.stack.docker_command import run
from tests.support.stack.images import Images

START_TIMEOUT_SECONDS = 600.0
# A server is offline after three missed heartbeats. A host gives up a call to a frozen API after
# 5 s, and its next heartbeat must still be in time.
INTERVAL_SECONDS = 5
API_PORT = 50051
API, HOST = "manmanv2-api", "manmanv2-host"


class Deployment:
    """`docker/compose.yaml`, unchanged, with its own project, folder and secrets.

    Two APIs, and two host managers on this machine, one for production and one for dev.
    """

    def __init__(self, images: Images) -> None:
        self.docker = images.docker
        self.images = images
        self._project = f"manmanv2-test-{uuid.uuid4().hex[:8]}"
        self._home = Path(tempfile.mkdtemp(prefix="manman-stack-"))
        self.folder = self._home / "docker"
        shutil.copytree(
            ROOT / "docker", self.folder, ignore=shutil.ignore_patterns("secrets", ".env")
        )
        self.dev_host = ""

    @property
    def production_host(self) -> str:
        return self.containers(HOST)[0]

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets by the names of their files."""
        names = ("registration_key", "operator_key", "postgres_password", "rabbitmq_password")
        return {name: (self.folder / "secrets" / name).read_text().strip() for name in names}

    def make_secrets(self) -> None:
        run(str(self.folder / "make-secrets"), environment=self._environment)

    def compose(self, *arguments: str) -> str:
        return run("docker-compose", *arguments, environment=self._environment, folder=self.folder)

    def start_host(self, **variables: str) -> str:
        """Start one more host manager; returns the name of its container."""
        options = [part for name in variables for part in ("-e", f"{name}={variables[name]}")]
        return self.compose("run", "--detach", "--no-deps", *options, HOST).strip()

    def containers(self, service: str = "") -> list[str]:
        """The ids of a service's containers, or of all containers; includes stopped ones.

        A container of `start_host` belongs to no service, so only the full list has it.
        """
        labels = [f"com.docker.compose.project={self._project}"]
        if service:
            labels.append(f"com.docker.compose.service={service}")
            labels.append("com.docker.compose.oneoff=False")
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        return self.docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()

    def state(self, container: str) -> dict[str, Any]:
        state: dict[str, Any] = self.docker.inspect(container)[0]["State"]
        return state

    def address(self, container: str) -> str:
        """The IP address of a container; this machine can reach it."""
        (network,) = self.docker.inspect(container)[0]["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def await_health(self, *containers: str) -> None:
        def healthy() -> bool:
            return all(
                details["State"].get("Health", {}).get("Status") == "healthy"
                for details in self.docker.inspect(*containers)
            )

        eventually(healthy, "containers to be healthy", seconds=START_TIMEOUT_SECONDS)

    def wait_until_logged(self, container: str, part: str) -> None:
        eventually(lambda: part in self.docker.log(container), f"{container} to log {part!r}")

    def operator(self, *arguments: str, stdin: str = "", at: str = "") -> str:
        """The stdout of `manmanv2` in the container of an API."""
        api = at or self.containers(API)[0]
        return self.docker("exec", "--interactive", api, "manmanv2", *arguments, stdin=stdin)

    def servers(self, at: str = "") -> dict[str, dict[str, Any]]:
        """The servers that an API lists, by their environments."""
        listed = json.loads(self.operator("servers", "list", "--output", "json", at=at))
        return {server["environment"]: server for server in listed}

    def subscriber(self) -> EventSubscriber:
        """A subscriber that receives the events from now on."""
        broker = self.address(self.containers("rabbitmq")[0])
        password = self.secrets["rabbitmq_password"]
        url = f"amqp://manmanv2:{password}@{broker}:5672/manmanv2"
        with channel(url) as open_channel:
            open_channel.queue_delete(SUBSCRIBER_QUEUE)
        return EventSubscriber(url)

    def published(self, api: str) -> str:
        """The address of an API that only this machine can reach."""
        return self.docker("port", api, str(API_PORT)).strip()

    def written(self, host: str, name: str) -> str:
        """The content of a file in a host's configuration folder; empty if there is no file."""
        script = f"cat /var/lib/manmanv2/{name} 2>/dev/null || true"
        return self.docker("exec", host, "sh", "-c", script)

    @contextmanager
    def disrupted(self, action: str, container: str) -> Iterator[None]:
        """Apply `docker kill` or `docker pause` for a block, then undo it."""
        self.docker(action, container)
        try:
            yield
        finally:
            self.docker({"kill": "start", "pause": "unpause"}[action], container)
            self.await_health(container)

    def api_of(self, host: str) -> str:
        """The container of the API to which a host is connected; empty if there is none."""
        connections = Path(f"/proc/{self.state(host)['Pid']}/net/tcp").read_text().splitlines()[1:]
        peers = {line.split()[2] for line in connections}
        apis = {_as_in_proc(self.address(api), API_PORT): api for api in self.containers(API)}
        return next((apis[peer] for peer in peers & apis.keys()), "")

    def __enter__(self) -> Self:
        try:
            self._start()
        except AssertionError as failure:
            logs = [self.docker.log(container)[-3000:] for container in self.containers()]
            self.__exit__()
            raise AssertionError("\n".join([str(failure), *logs])) from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # Compose would leave the containers of `start_host`.
            if started := self.containers():
                self.docker("rm", "--force", "--volumes", *started)
            self.compose("down", "--volumes")
        finally:
            shutil.rmtree(self._home)

    def _start(self) -> None:
        self.make_secrets()
        self.compose("up", "--detach", "--scale", f"{API}=2")
        # Two hosts cannot use one configuration folder.
        self.dev_host = self.start_host(ENVIRONMENT="dev", CONFIG_DIR="")
        self.await_health(self.production_host, self.dev_host)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **self.docker.environment,
            "COMPOSE_PROJECT_NAME": self._project,
            "DOCKER_SOCKET": self.docker.socket,
            "MANMANV2_TAG": self.images.tag,
            "POSTGRES_IMAGE": self.images.postgres,
            "RABBITMQ_IMAGE": self.images.rabbitmq,
            "HEARTBEAT_INTERVAL_SECONDS": str(INTERVAL_SECONDS),
        }


def _as_in_proc(address: str, port: int) -> str:
    """An address in the format of /proc/net/tcp: hexadecimal, on a little-endian machine."""
    return f"{socket.inet_aton(address)[::-1].hex().upper()}:{port:04X}"
