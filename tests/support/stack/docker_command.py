"""Runs the command `docker` on one engine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Docker:
    """`docker` on the engine behind a socket."""

    socket: str

    @property
    def environment(self) -> dict[str, str]:
        # Settings of a developer or of another engine must not apply here.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}"}

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """The stdout of `docker`. Raises AssertionError with all output if it fails."""
        return run("docker", *arguments, environment=self.environment, stdin=stdin)

    def inspect(self, *names: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self("inspect", *names)) if names else []
        return found

    def log(self, container: str) -> str:
        """Everything that the container wrote to stdout and stderr."""
        return subprocess.run(
            ["docker", "logs", container],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout


def run(
    *command: str, environment: dict[str, str], stdin: str = "", folder: Path | None = None
) -> str:
    """The stdout of a command. Raises AssertionError with all output if it fails."""
    ended = subprocess.run(
        command,
        env=environment,
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)} ended with {ended.returncode}\n{ended.stdout}{ended.stderr}"
        )
    return ended.stdout
