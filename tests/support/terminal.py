"""One of our commands on a terminal, and what is to be seen there."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

from tests.support.canary_secrets import leaks
from tests.support.processes import PATIENCE_SECONDS, eventually

_ESCAPE = re.compile(r"\x1b\[\d*[A-Za-z]")


class Terminal:
    def __init__(self, command: str, *arguments: str, width: int, height: int, **variables: str):
        ours, theirs = pty.openpty()
        self._ours = ours
        self.resize(width, height)
        self._shown = b""
        self._popen = subprocess.Popen(
            [str(Path(sys.executable).parent / command), *arguments],
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    @property
    def text(self) -> str:
        """Everything that was written, with what the terminal obeys."""
        return self._shown.decode(errors="replace")

    @property
    def styled_lines(self) -> list[str]:
        """What is drawn now, with its styles; nothing while a drawing is under way."""
        before, _, last = self.text.rpartition("\x1b[H")
        if not last.endswith("\x1b[J"):
            last = before.rpartition("\x1b[H")[2]
        return [re.sub(r"\x1b\[[KJ]", "", line) for line in last.split("\r\n")]

    @property
    def lines(self) -> list[str]:
        return [_ESCAPE.sub("", line) for line in self.styled_lines]

    def wait_for(self, part: str) -> list[str]:
        """The lines once one of them holds the part."""
        eventually(
            lambda: any(part in line for line in self.lines), f"{part!r}\n{self.text[-3000:]}"
        )
        return self.lines

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or another one, and its exit code."""
        self._popen.send_signal(stop_signal)
        exit_code = self._popen.wait(PATIENCE_SECONDS)
        self._reader.join()
        return exit_code

    def close(self) -> None:
        self._popen.kill()
        self._popen.wait()
        self._reader.join()
        os.close(self._ours)
        leaks.look_at("on the terminal", self.text)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 65536)
            except OSError:  # nobody has the terminal open any more
                return
            self._shown += part
