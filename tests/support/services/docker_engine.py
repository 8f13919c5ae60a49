"""A real Docker engine for tests: a running one, found by its socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from dataclasses import dataclass
from typing import Any

ANSWER_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class DockerEngine:
    socket: str
    version: str

    def __str__(self) -> str:
        return f"Docker engine {self.version} (unix://{self.socket})"


def socket_path() -> str:
    """The path where an engine should listen. A DOCKER_HOST over TCP does not count, because
    hosts use the socket."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "").partition("://")
    by_docker = path if scheme == "unix" else ""
    return os.environ.get("TEST_DOCKER_SOCKET") or by_docker or "/var/run/docker.sock"


def find_engine() -> DockerEngine | None:
    """The engine, or None if no engine answers."""
    path = socket_path()
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
        return DockerEngine(path, _get(path, "/version")["Version"])
    return None


def _get(path: str, resource: str) -> Any:
    # Without the SDK, which leaks its socket when nothing listens, and that causes a warning.
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(ANSWER_TIMEOUT_SECONDS)
        engine.connect(path)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = engine
        connection.request("GET", resource)
        return json.load(connection.getresponse())
