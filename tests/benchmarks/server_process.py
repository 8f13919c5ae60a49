from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from tests.support.services.families import frozen_family

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 20


class ServerProcess:
    """A server in a process of its own, until the block ends. It prints the port on which it
    serves."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._command = command
        # Only our own settings: a setting of the caller must not change what is measured.
        self._environment = {"PATH": os.environ["PATH"], "METRICS_ADDRESS": "off", **environment}
        self._output = output
        self.port = 0

    def __enter__(self) -> Self:
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                # The kernel signals it when its parent dies, so it ends even if the benchmark is
                # killed.
                ["setpriv", "--pdeathsig=KILL", *self._command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self.port = self._await_port()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def paused(self) -> AbstractContextManager[None]:
        """Stop the server for a `with` block; the kernel still accepts connections for it."""
        return frozen_family(self._process)

    def _await_port(self) -> int:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            match = re.search(r"Serving on \S+:(\d+)", self._output.read_text())
            if match:
                return int(match[1])
            time.sleep(0.02)
        raise RuntimeError(f"{' '.join(self._command)} did not start:\n{self._output.read_text()}")
