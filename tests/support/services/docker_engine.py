"""A real Docker engine for tests: one that runs, found by its socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from dataclasses import dataclass
from typing import Any

ANSWER_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class DockerEngine:
    socket: str
    version: str

    def __str__(self) -> str:
        return f"Docker engine {self.version} (unix://{self.socket})"


def socket_path() -> str:
    """Where an engine should be; a DOCKER_HOST over TCP does not count, hosts use the socket."""
    scheme, _, path = os.environ.get("DOCKER_HOST", "").partition("://")
    by_docker = path if scheme == "unix" else ""
    return os.environ.get("TEST_DOCKER_SOCKET") or by_docker or "/var/run/docker.sock"


def find_engine() -> DockerEngine | None:
    """The engine, or None where none answers."""
    path = socket_path()
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
        return DockerEngine(path, _get(path, "/version")["Version"])
    return None


def _get(path: str, resource: str) -> Any:
    # Not by the SDK, which leaks its socket, and with it a warning, when nobody listens.
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(ANSWER_TIMEOUT_SECONDS)
        engine.connect(path)
        connection = http.client.HTTPConnection("localhost")
        connection.sock = engine
        connection.request("GET", resource)
        return json.load(connection.getresponse())
